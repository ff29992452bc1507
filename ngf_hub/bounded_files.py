"""Files from outside read with a bound: no pipe that never ends, no text that fills the memory."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

MAX_TEXT = 4 << 20
"""Bytes of a text that is read as a whole; a config with 20,000 class names has about 2 MB."""
MAX_REPORT = 64 << 20
"""Bytes of a report: it holds the rates of every class."""
MAX_DEPTH = 64


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """The text of a regular file.

    Args:
        path: The file; links are followed.
        limit: The most bytes that it may have.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no regular file, too long, or not UTF-8; the message says which.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > limit:
        raise ValueError(f"its {status.st_size:,} bytes are more than such a file has")
    with path.open("rb") as file:
        content = file.read(limit + 1)  # it may have grown, and some systems state no size
    if len(content) > limit:
        raise ValueError("it is longer than such a file is")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("it is no text") from error


def read_json(path: Path, limit: int = MAX_TEXT) -> Any:
    """The value of a JSON file, of bounded length and depth.

    Args:
        path: The file.
        limit: The most bytes that it may have.

    Raises:
        OSError: It cannot be read.
        ValueError: See :func:`read_text` and :func:`parse_json`.
    """
    return parse_json(read_text(path, limit))


def parse_json(text: str) -> Any:
    """The value of a JSON text, whose depth other code can go through too.

    Raises:
        ValueError: It is no JSON or nested too deeply; the message says which.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise ValueError("it is no JSON") from error
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        inside = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in inside for item in items if isinstance(item, dict | list)]
        if not level:
            return value
    raise ValueError("it is nested too deeply")


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a file of a folder is, or lies behind, a link to a place outside it.

    The snapshots of the Hub's cache are links to its blobs, which belong to it.

    Args:
        path: The file.
        folder: The folder.
    """
    root = folder.resolve()
    if root.parent.name == "snapshots":
        root = root.parent.parent
    return not path.resolve().is_relative_to(root)
