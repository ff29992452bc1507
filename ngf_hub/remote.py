"""A repository on the Hub as it is now, against the files that are to be in it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.bounded_files import MAX_REPORT, read_json
from ngf_hub.bundle import CONFIG_FILE, INDEX_SUFFIX, TRIGGER_FILE
from ngf_hub.card_text import PLOTS
from ngf_hub.patience import patiently, silence
from ngf_hub.report import REPORT_FILE

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

# Weights that lie in a repository from before: they are not those the card describes.
WEIGHT_SUFFIXES = (
    ".safetensors",
    INDEX_SUFFIX,
    ".bin",
    ".bin.index.json",
    ".ckpt",
    ".h5",
    ".msgpack",
    ".onnx",
    ".pkl",
    ".pt",
    ".pth",
)


@dataclass(frozen=True)
class Remote:
    """A repository as it is now."""

    commit: str | None
    private: bool
    files: dict[str, RepoFile] = field(default_factory=dict)
    ours: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing but what the Hub itself puts into a new repository."""
        return set(self.files) <= {".gitattributes"}


def look(api: HfApi, repo_id: str) -> Remote | None:
    """The repository as it is now, or ``None`` if there is none that the token can see."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = patiently(lambda: api.model_info(repo_id, timeout=silence()))
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None
    if info.sha is None:
        return Remote(commit=None, private=bool(info.private))
    files = files_at(api, repo_id, info.sha)
    ours = _is_ours(api, repo_id, info.sha, files.get(REPORT_FILE))
    return Remote(info.sha, bool(info.private), files, ours)


def files_at(api: HfApi, repo_id: str, revision: str) -> dict[str, RepoFile]:
    """The files of a repository at a revision, by their path."""
    from huggingface_hub.hf_api import RepoFile

    tree = api.list_repo_tree(repo_id, recursive=True, revision=revision)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _is_ours(api: HfApi, repo_id: str, commit: str, entry: RepoFile | None) -> bool:
    """Whether the repository holds a report of this tool."""
    if entry is None or entry.size > MAX_REPORT:
        return False
    content = json_at(api, repo_id, REPORT_FILE, commit, MAX_REPORT)
    return isinstance(content, dict) and content.get("tool") == "ngf-hub"


def json_at(api: HfApi, repo_id: str, path: str, revision: str | None, limit: int) -> Any:
    """The value of a JSON file of a repository; ``None`` where it is none, or longer."""
    with tempfile.TemporaryDirectory() as folder:
        local = patiently(
            lambda: api.hf_hub_download(repo_id, path, revision=revision, local_dir=folder)
        )
        try:
            return read_json(Path(local), limit)
        except ValueError:
            return None


def stale(remote: Remote, contents: dict[str, bytes | Path]) -> list[str]:
    """Files from before that the new version replaces without having them any more."""
    known = {CONFIG_FILE, "preprocessor_config.json", *PLOTS}
    return sorted(
        path
        for path in remote.files
        if path not in contents
        and ((remote.ours and (path in known or TRIGGER_FILE.fullmatch(path))) or is_weights(path))
    )


def is_weights(path: str) -> bool:
    """Whether a path in a repository is where loaders look for weights, of any format."""
    return "/" not in path and path.lower().endswith(WEIGHT_SUFFIXES)
