"""What publishing and proposing share: what was done, and the one commit that does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.errors import HubError, ReportError
from ngf_hub.hub import hub_errors, is_hub_id
from ngf_hub.text import plain, redact

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi


@dataclass(frozen=True)
class Published:
    """What was published or proposed, or would be.

    Attributes:
        url: The page of the repository, or of the pull request.
        commit: The commit that now holds the files; ``None`` after a dry run.
        files: Size in bytes of each file of the repository that is this tool's.
        changed: Whether a commit was made.
        left_out: Files of the folder that are not sent.
        deleted: Files that the commit removed.
        card: The model card as it is sent.
        pull_request: The number of the pull request; ``None`` without one.
        description: What the pull request says.
    """

    url: str
    commit: str | None
    files: dict[str, int]
    changed: bool
    left_out: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    card: str = ""
    pull_request: int | None = None
    description: str = ""


def check_id(repo_id: str) -> None:
    """Refuse what is no ``namespace/name``.

    Raises:
        HubError: It is not.
    """
    if not is_hub_id(repo_id) or "/" not in repo_id:
        raise HubError(
            f"{plain(redact(repo_id), 120)!r} is no repository id.", "Give it as `namespace/name`."
        )


def make_commit(
    api: HfApi,
    repo_id: str,
    changed: dict[str, bytes | Path],
    deleted: list[str],
    *,
    title: str,
    description: str | None = None,
    parent: str | None,
    revision: str | None = None,
    create_pr: bool = False,
    token: str | None,
) -> CommitInfo:
    """Make the one commit; refused by the Hub if the repository changed since it was read.

    Args:
        api: The client.
        repo_id: The repository.
        changed: Content by path.
        deleted: Paths that go.
        title: Of the commit, and of the pull request.
        description: Likewise.
        parent: The commit that was read.
        revision: The branch or the ref of a pull request; the default branch if left out.
        create_pr: Open a pull request with it.
        token: Kept out of messages.

    Raises:
        HubError: The Hub cannot do it.
        ReportError: It refuses the content.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
        for path, content in changed.items()
    ]
    operations += [CommitOperationDelete(path) for path in deleted]
    try:
        with hub_errors(f"publish to {repo_id}", token=token):
            return api.create_commit(
                repo_id,
                operations,
                commit_message=title,
                commit_description=description,
                parent_commit=parent,
                revision=revision,
                create_pr=create_pr,
            )
    except ValueError as error:
        reason = plain(redact(str(error), [token]), 300)
        raise ReportError(f"The Hub refuses the commit: {reason}") from error
