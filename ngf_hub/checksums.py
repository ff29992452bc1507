"""Whether a content is what the Hub says a file is: by its SHA-256 in LFS, else by git's hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile, RepoSibling


def size(content: bytes | Path) -> int:
    """How many bytes a content, or the file it lies in, has."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def same(entry: RepoFile | RepoSibling | None, content: bytes | Path) -> bool:
    """Whether a file of a repository has exactly this content.

    Args:
        entry: What the Hub says of the file; ``None`` where there is none.
        content: The content, or the file that it lies in.
    """
    if entry is None or entry.size != size(content):
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == sha256(content)
    return entry.blob_id == _git_id(content)


def is_of_its_name(blob: Path) -> bool:
    """Whether a blob of the cache is what its name says, as far as that says anything.

    The cache calls a blob by the ETag that it came with: the SHA-256 of a file in LFS,
    git's hash of any other.
    """
    if len(blob.name) == 64:
        return blob.name == sha256(blob)
    return len(blob.name) != 40 or blob.name == _git_id(blob)


def is_stated(entry: RepoFile | RepoSibling | None) -> bool:
    """Whether the Hub says enough of a file for :func:`same`."""
    return entry is not None and entry.size is not None and bool(entry.lfs or entry.blob_id)


def _git_id(content: bytes | Path) -> str:
    """git's object id, which is no matter of security."""
    blob = hashlib.sha1(f"blob {size(content)}\0".encode(), usedforsecurity=False)
    update(blob, content)
    return blob.hexdigest()


def sha256(content: bytes | Path) -> str:
    """The SHA-256 of a content, or of the file it lies in, in hexadecimal."""
    digest = hashlib.sha256()
    update(digest, content)
    return digest.hexdigest()


def update(digest: hashlib._Hash, content: bytes | Path) -> None:
    """Take a content, or that of a file, into a digest; a file is never in memory whole."""
    if isinstance(content, bytes):
        digest.update(content)
        return
    with content.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
