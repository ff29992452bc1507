"""Files of the Hub in its cache: asked for patiently, and checked to be what the Hub says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.checksums import is_stated, same
from ngf_hub.errors import HubError
from ngf_hub.hub import cached_folder, hub_errors, not_reached
from ngf_hub.patience import patiently, silence
from ngf_hub.text import plain

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoFile, RepoSibling


def ask_for_model(
    repo: str, *, revision: str | None, token: str | None = None, security: bool = False
) -> ModelInfo | Path:
    """What the Hub says of a model and its files, or the folder in the cache instead.

    Args:
        repo: The id.
        revision: Branch, tag or commit; the default branch if left out.
        token: Instead of the one that Hub clients find by themselves.
        security: Ask for the Hub's own security status, too.

    Returns:
        The description; the folder that the cache keeps where the Hub is not reached.

    Raises:
        HubError: There is no such model, or the Hub is not reached and the cache has nothing.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with hub_errors(f"fetch model {repo}", token=token):
        kept = cached_folder(repo, revision)
        try:
            return patiently(
                lambda: api.model_info(
                    repo,
                    revision=revision,
                    files_metadata=True,
                    securityStatus=security or None,
                    timeout=silence(),
                ),
                kept=kept is not None,
            )
        except Exception as error:
            if kept is None or not not_reached(error):
                raise
            return kept


def download(
    repo: str,
    name: str,
    *,
    revision: str | None,
    token: str | None = None,
    entry: RepoFile | RepoSibling | None = None,
    repo_type: str = "model",
) -> Path:
    """A file of a repository, from the cache or fetched into it.

    The client library checks how long a file is, and nothing else: one wrong byte would
    stay in the cache for every tool that reads it. Here a file that is not what the Hub
    says is taken out of the cache and fetched once more.

    Args:
        repo: The repository.
        name: The file's path in it.
        revision: Branch, tag or commit.
        token: Instead of the one that Hub clients find by themselves.
        entry: What the Hub says of the file at this revision; unchecked if left out.
        repo_type: ``"model"`` or ``"dataset"``.

    Raises:
        HubError: It cannot be fetched, or arrives corrupt again and again.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)

    def fetch() -> Path:
        return Path(api.hf_hub_download(repo, name, revision=revision, repo_type=repo_type))

    for _ in range(2):
        with hub_errors(f"fetch {name} of {repo}", token=token):
            path = patiently(fetch)
        if not is_stated(entry) or same(entry, path):
            return path
        discard(path)
    raise HubError(
        f"Cannot fetch {plain(name, 160)} of {repo}: what arrives is not the file on the Hub "
        "(its checksum differs).",
        "Nothing of it was kept. Check HF_ENDPOINT and proxies, then run the same command again.",
    )


def discard(path: Path) -> None:
    """Take a file out of the cache: the link in the snapshot and the blob that it leads to."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
