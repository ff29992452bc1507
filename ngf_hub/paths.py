"""Whether a text that may be anything names a file or folder."""

from __future__ import annotations

from pathlib import Path


def existing(text: str) -> Path | None:
    """The file or folder that a text names, ``~`` expanded; ``None`` if there is none.

    Any text may be asked, also one that is no path on this system.
    """
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, an unknown user, a null character
        return None
