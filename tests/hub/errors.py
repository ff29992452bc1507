"""How the Hub says no: a status, a message, and the code that clients turn into exceptions."""

from __future__ import annotations

from starlette.responses import JSONResponse


class HttpError(Exception):
    """Ends a request with an error response.

    Args:
        status: The HTTP status.
        message: What the client shows to its user.
        code: ``X-Error-Code``, from which clients choose the exception class.
        headers: Further headers, such as ``X-Repo-Commit``.
        body: Further fields of the JSON body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        body: dict | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
        self.body = body or {}

    def response(self) -> JSONResponse:
        one_line = " ".join(self.message.split()).encode("ascii", "replace").decode()
        headers = {**self.headers, "X-Error-Message": one_line}
        if self.code:
            headers["X-Error-Code"] = self.code
        return JSONResponse(
            {"error": self.message, **self.body}, status_code=self.status, headers=headers
        )


def bad_request(message: str) -> HttpError:
    return HttpError(400, message)


def forbidden(message: str) -> HttpError:
    return HttpError(403, message)


def unauthenticated() -> HttpError:
    return HttpError(401, "Invalid username or password.")


def bad_token() -> HttpError:
    """The one 401 that clients do not take for a missing repository."""
    return HttpError(401, "Invalid credentials in Authorization header")


def repo_not_found(authenticated: bool) -> HttpError:
    """A missing repo and a private one look alike to who may not see it."""
    if authenticated:
        return HttpError(404, "Repository not found", code="RepoNotFound")
    return HttpError(401, "Invalid username or password.", code="RepoNotFound")


def revision_not_found(revision: str) -> HttpError:
    return HttpError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(commit: str, message: str = "Entry not found") -> HttpError:
    return HttpError(404, message, code="EntryNotFound", headers={"X-Repo-Commit": commit})


def gated_repo(repo_type: str, repo_id: str, authenticated: bool) -> HttpError:
    message = f"Access to {repo_type} {repo_id} is restricted"
    if authenticated:
        message += " and you are not in the authorized list. Visit its page to ask for access."
        return HttpError(403, message, code="GatedRepo")
    message += ". You must have access to it and be authenticated to access it. Please log in."
    return HttpError(401, message, code="GatedRepo")
