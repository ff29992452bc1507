"""Routes on the raw path, and what a handler gets to see of a request.

Starlette's own router matches the decoded path, in which the revision
``refs%2Fpr%2F1`` has become three segments. This one matches the path as it was
sent and decodes each part afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from .accounts import Caller
from .errors import HttpError, bad_request, repo_not_found

if TYPE_CHECKING:
    from .app import HubState
    from .store import Repo

# What a placeholder in a route's pattern stands for.
_PLACEHOLDERS = {
    "{kind}": "(?P<kind>models|datasets)",
    "{prefix}": "(?P<prefix>(?:datasets/)?)",
    # hf:// file systems send pull request refs unquoted.
    "{rev}": r"(?P<rev>refs/(?:pr|convert)/[^/]+|[^/]+)",
    "{path*}": "(?P<path>.*)",
    "{num}": r"(?P<num>\d+)",
}


@dataclass
class Call:
    """One request, as handlers see it.

    Attributes:
        request: Starlette's request.
        params: The decoded parts of the path.
        state: The server's store and accounts.
        caller: Who asks.
    """

    request: Request
    params: dict[str, str]
    state: HubState
    caller: Caller

    @property
    def base_url(self) -> str:
        """Scheme and host under which the client reached the server."""
        return f"{self.request.url.scheme}://{self.request.headers['host']}"

    @property
    def repo_type(self) -> str:
        kind = self.params.get("kind") or self.params.get("prefix") or "models"
        return kind.rstrip("/").removesuffix("s")

    def repo(self) -> Repo:
        """The repository in the path.

        Raises:
            HttpError: ``RepoNotFound`` if there is none that the caller may see.
        """
        repo_id = f"{self.params['ns']}/{self.params['name']}"
        repo = self.state.store.get(self.repo_type, repo_id)
        if repo is None:
            raise repo_not_found(authenticated=self.caller.user is not None)
        self.caller.require_read(repo)
        return repo

    def flag(self, name: str) -> bool:
        """A boolean of the query: ``?name=1``, ``true`` or ``True``."""
        return self.request.query_params.get(name, "").lower() in ("1", "true")

    async def json(self) -> dict[str, Any]:
        """The body, a JSON object; an absent one is empty."""
        body = await self.request.body()
        try:
            content = json.loads(body or b"{}")
        except ValueError:
            raise bad_request("The body is not JSON") from None
        if not isinstance(content, dict | None):
            raise bad_request("The body is not a JSON object")
        return content or {}


Handler = Callable[[Call], Awaitable[Response]]


class Router:
    """Methods and path patterns, in the order in which they are tried."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def on(self, methods: str, pattern: str) -> Callable[[Handler], Handler]:
        """Decorate the handler of ``methods`` ("GET HEAD") on a path pattern."""

        def register(handler: Handler) -> Handler:
            parts = re.split(r"(\{[a-z*]+\})", pattern)
            regex = "".join(
                _PLACEHOLDERS.get(part, f"(?P<{part[1:-1]}>[^/]+)")
                if part.startswith("{")
                else re.escape(part)
                for part in parts
            )
            for method in methods.split():
                self._routes.append((method, re.compile(regex), handler))
            return handler

        return register

    def include(self, other: Router) -> None:
        self._routes.extend(other._routes)

    def match(self, method: str, raw_path: str) -> tuple[Handler, dict[str, str]]:
        """The handler of a path as it was sent.

        Raises:
            HttpError: If there is none: for a repository id without namespace as
                for a missing repository, and otherwise 501, which no client retries.
        """
        for wanted, regex, handler in self._routes:
            found = regex.fullmatch(raw_path) if wanted == method else None
            if found:
                return handler, {name: unquote(part) for name, part in found.groupdict().items()}
        if re.match(r"/api/(models|datasets|spaces)/[^/]+|/.*/resolve/", raw_path):
            raise repo_not_found(authenticated=True)
        raise HttpError(501, f"The local Hub does not serve {method} {raw_path}")
