"""Paths: whether a text that may be anything names one, and the files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Git's own, and what huggingface_hub keeps beside what it downloaded.
_SKIPPED = (".git", ".cache")


def existing(text: str) -> Path | None:
    """The file or folder that a text names, ``~`` expanded; ``None`` if there is none.

    Any text may be asked, also one that is no path on this system.
    """
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, an unknown user, a null character
        return None


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder, its path in the folder first, in order.

    What other tools keep there for themselves is left out.
    """
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            path = Path(here) / name
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path
