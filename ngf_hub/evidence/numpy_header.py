"""The header of a ``.npy`` file: does a pickle follow it?

Format: NEP 1, and ``numpy.lib.format``.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from ngf_hub.evidence.pickle_parts import Window

NUMPY_MAGIC = b"\x93NUMPY"
_LONGEST = 1 << 16


class NumpyHeaderError(Exception):
    """A header cannot be read; the message says why."""


def holds_objects(window: Window) -> bool:
    """Whether an array is one of Python objects, which are pickled behind the header.

    Args:
        window: At the start of the file; it stands behind the header afterwards.

    Raises:
        NumpyHeaderError: The header is broken.
    """
    version = window.read(8)[6:7]
    length = int.from_bytes(window.read(2 if version == b"\x01" else 4), "little")
    if version not in (b"\x01", b"\x02", b"\x03") or length > min(_LONGEST, window.left()):
        raise NumpyHeaderError("the header of its array is broken")
    try:
        text = window.read(length).decode("utf-8" if version > b"\x02" else "latin-1")
        # Python 2 wrote long integers: (3L, 4L).
        header = ast.literal_eval(re.sub(r"\b(\d+)L\b", r"\1", text.strip()))
        return _is_object(header["descr"])
    # literal_eval meets hostile text with many kinds of exception.
    except Exception as error:
        raise NumpyHeaderError("the header of its array is broken") from error


def _is_object(descr: Any) -> bool:
    """Whether a dtype in the notation of headers has an object in it."""
    if isinstance(descr, str):
        return descr.lstrip("<>|=").startswith("O")
    if isinstance(descr, list):
        return any(_is_object(field[1]) for field in descr)
    return _is_object(descr[0])  # (dtype, shape)
