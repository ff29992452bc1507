"""A repository on the Hub as it is now, against the files that are to be in it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.bundle import CONFIG_FILE, INDEX_SUFFIX
from ngf_hub.card_text import PLOTS
from ngf_hub.report import REPORT_FILE

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

LARGEST_REPORT = 64 * 2**20
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
    from huggingface_hub.hf_api import RepoFile

    try:
        info = api.model_info(repo_id)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None
    if info.sha is None:
        return Remote(commit=None, private=bool(info.private))
    tree = api.list_repo_tree(repo_id, recursive=True, revision=info.sha)
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    ours = _is_ours(api, repo_id, info.sha, files.get(REPORT_FILE))
    return Remote(info.sha, bool(info.private), files, ours)


def _is_ours(api: HfApi, repo_id: str, commit: str, entry: RepoFile | None) -> bool:
    """Whether the repository holds a report of this tool."""
    if entry is None or entry.size > LARGEST_REPORT:
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = api.hf_hub_download(repo_id, REPORT_FILE, revision=commit, local_dir=folder)
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            return False
    return isinstance(content, dict) and content.get("tool") == "ngf-hub"


def size(content: bytes | Path) -> int:
    """How many bytes a content, or the file it lies in, has."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def same(entry: RepoFile | None, content: bytes | Path) -> bool:
    """Whether the repository holds exactly this content: by SHA-256 in LFS, else by git's hash."""
    if entry is None or entry.size != size(content):
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == _digest(hashlib.sha256(), content)
    # git's object id, which is no matter of security
    blob = hashlib.sha1(f"blob {size(content)}\0".encode(), usedforsecurity=False)
    return entry.blob_id == _digest(blob, content)


def _digest(digest: hashlib._Hash, content: bytes | Path) -> str:
    if isinstance(content, bytes):
        digest.update(content)
        return digest.hexdigest()
    with content.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def stale(remote: Remote, contents: dict[str, bytes | Path]) -> list[str]:
    """Files from before that the new version replaces without having them any more."""
    known = {CONFIG_FILE, "preprocessor_config.json", *PLOTS}
    known |= {"trigger/trigger.json", "trigger/trigger.safetensors"}
    return sorted(
        path
        for path in remote.files
        if path not in contents
        and ((remote.ours and path in known) or ("/" not in path and _is_weights(path)))
    )


def _is_weights(path: str) -> bool:
    return path.lower().endswith(WEIGHT_SUFFIXES)
