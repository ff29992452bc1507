"""Questions about the files of a commit: folders, differences, merges."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from .blobs import BlobStore, FileEntry
from .store import Files


def folders_of(path: str) -> Iterator[str]:
    """The folders that a path lies in, the deepest first."""
    for parent in PurePosixPath(path).parents:
        if str(parent) != ".":
            yield str(parent)


def all_folders(files: Files) -> set[str]:
    return {folder for path in files for folder in folders_of(path)}


def below(files: Files, folder: str) -> Files:
    """The files in a folder and its subfolders; all of them for ``""``."""
    prefix = f"{folder}/" if folder else ""
    return {path: entry for path, entry in files.items() if path.startswith(prefix)}


def folder_id(files: Files, folder: str) -> str:
    """An id that changes when anything in the folder does."""
    inside = below(files, folder)
    return hashlib.sha1(
        "\n".join(f"{path} {inside[path].oid}" for path in sorted(inside)).encode()
    ).hexdigest()


def changed_paths(old: Files, new: Files) -> list[str]:
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def merge(base: Files, ours: Files, theirs: Files) -> tuple[Files, list[str]]:
    """Bring what ``theirs`` changed since ``base`` into ``ours``, whole files at a time.

    Returns:
        The merged files, and the paths that both sides changed differently.
    """
    merged = dict(ours)
    conflicts = []
    for path in changed_paths(base, theirs):
        wanted = theirs.get(path)
        if ours.get(path) not in (base.get(path), wanted):
            conflicts.append(path)
        elif wanted is None:
            merged.pop(path, None)
        else:
            merged[path] = wanted
    return merged, conflicts


def unified_diff(blobs: BlobStore, old: Files, new: Files) -> str:
    """A git-like diff; an LFS or other binary file is only named."""
    parts = []
    for path in changed_paths(old, new):
        before, after = (_lines(blobs, files.get(path)) for files in (old, new))
        parts.append(f"diff --git a/{path} b/{path}\n")
        if before is None or after is None:
            parts.append(f"Binary files a/{path} and b/{path} differ\n")
        else:
            names = (
                (f"a/{path}" if path in old else "/dev/null"),
                (f"b/{path}" if path in new else "/dev/null"),
            )
            parts.extend(difflib.unified_diff(before, after, *names))
    return "".join(parts)


def _lines(blobs: BlobStore, entry: FileEntry | None) -> list[str] | None:
    if entry is None:
        return []
    if entry.lfs:
        return None
    try:
        lines = blobs.read(entry.sha256).decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines
