"""The raw arrays that ``joblib.dump`` writes between the opcodes of a pickle.

``joblib.load`` reads them itself when the state of their wrapper is set
(``NumpyArrayWrapper.read_array``); no other unpickler knows them.
"""

from __future__ import annotations

import math
import re
from typing import Any

WRAPPERS = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"),
    # As scikit-learn shipped it up to 0.23.
    ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"),
}
OBJECTS = -1
_DTYPE = re.compile(r"[<>|=]?([biufcmMVSUO?])(\d{0,9})")


def array_size(state: Any, next_byte: bytes) -> int | None:
    """The number of raw bytes that follow a wrapper.

    Args:
        state: The wrapper's attributes; its dtype is what a call was made with.
        next_byte: The byte behind the opcode, which holds the length of the padding.

    Returns:
        The size with padding; :data:`OBJECTS` where a pickle follows instead;
        ``None`` where the state does not say.
    """
    if not isinstance(state, dict):
        return None
    shape, item = state.get("shape"), _item_size(state.get("dtype"))
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        return None
    alignment = state.get("numpy_array_alignment_bytes")
    if item is None or not (alignment is None or isinstance(alignment, int)):
        return None
    if item == OBJECTS:
        return OBJECTS
    padding = 0 if alignment is None else 1 + (next_byte[0] if next_byte else 0)
    return padding + math.prod(shape) * item


def _item_size(dtype: Any) -> int | None:
    """The bytes of one item, if the call that made the dtype and its state agree on it."""
    made = getattr(dtype, "arguments", ())
    found = _DTYPE.fullmatch(made[0]) if made and isinstance(made[0], str) else None
    if found is None:
        return None
    kind, digits = found.groups()
    if kind == "O":
        return OBJECTS
    size = (int(digits) if digits else 1) * (4 if kind == "U" else 1)
    state = dtype.state
    if state is None:
        return size
    # (version, byte order, subarray, names, fields, item size or -1, alignment, flags, ...)
    if not isinstance(state, tuple) or len(state) < 8 or isinstance(state[2], tuple):
        return None
    return size if state[5] in (-1, size) else None
