"""The header of a safetensors file, checked against the format and the file's size.

Only the first bytes are read, so that a file on the Hub need not be fetched.

Format: https://huggingface.co/docs/safetensors/index#format. A header says of
each tensor its type, its shape and where its bytes are; together they must cover
the rest of the file exactly, without gaps and overlaps.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngf_hub.text import plain

# The format's own limit, at which every reader gives up, and what is read here: the header of
# a model with 10,000 tensors is about 1 MB long.
MAX_HEADER = 100_000_000
MAX_READ = 8_000_000
# Of a file that is loaded: the library takes seconds for some 50,000 tensors.
MAX_LOADED = 2 << 20
_MAX_RANK = 64
_DTYPES = {
    4: "F4",
    6: "F6_E2M3 F6_E3M2",
    8: "BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
    16: "I16 U16 F16 BF16",
    32: "I32 U32 F32",
    64: "I64 U64 F64 C64",
}
_BITS = {name: bits for bits, names in _DTYPES.items() for name in names.split()}
_OTHERS = {
    b"PK\x03\x04": "a zip archive, as torch.save writes it",
    b"\x80": "a pickle",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
    b"GGUF": "a GGUF file",
}
LFS_POINTER = b"version https://git-lfs"

Read = Callable[[int, int], bytes]


class HeaderError(Exception):
    """The header lies or is broken; the message says how, as one line."""


class HeaderTooLong(HeaderError):
    """The header is within the format and too long to be read here."""


@dataclass(frozen=True)
class TensorInfo:
    """What a header says of a tensor.

    Attributes:
        dtype: Its type, in the format's words: ``F32``.
        shape: Its shape.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclass
class Header:
    """A header that is as it should be.

    Attributes:
        tensors: By name.
        metadata: What else it holds, texts.
        missing: Bytes by which the file is shorter than its header says.
    """

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str] = field(default_factory=dict)
    missing: int = 0


def loads_quickly(path: Path) -> bool:
    """Whether the header of a file is short enough for the library to load what it names."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(8), "little") <= MAX_LOADED


def read_header(read: Read, size: int) -> Header:
    """Read and check a header.

    Args:
        read: Gives up to ``count`` bytes of the file from ``start`` on: ``read(start, count)``.
        size: The file's size in bytes.

    Raises:
        HeaderTooLong: It has more than :data:`MAX_READ` bytes.
        HeaderError: It lies: about its length, or about a tensor's type, shape or place.
    """
    start = read(0, 16)
    length = int.from_bytes(start[:8], "little")
    for magic, what in _OTHERS.items():
        # Read as a length, any of these is beyond the format's limit.
        if start.startswith(magic) and length > MAX_HEADER:
            raise HeaderError(f"it is no safetensors file but {what}")
    if size < 8 + 2:
        raise HeaderError("it is too short to be a safetensors file")
    if length > MAX_HEADER:
        raise HeaderError(f"its header claims {length:,} bytes, more than any may have")
    if length + 8 > size:
        raise HeaderError(f"its header claims {length:,} bytes and the file has {size:,}")
    if start[8:9] != b"{":
        raise HeaderError("its header is no JSON object")
    if length > MAX_READ:
        raise HeaderTooLong(f"its header of {length:,} bytes is too long to be looked into")
    text = read(8, length)
    if len(text) != length:
        raise HeaderError("its header could not be read to the end")
    header, end = _check(_parse(text))
    if 8 + length + end < size:
        extra = size - 8 - length - end
        raise HeaderError(f"{extra:,} bytes follow its last tensor")
    header.missing = 8 + length + end - size
    return header


def _parse(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except HeaderError:
        raise
    except (ValueError, RecursionError) as error:
        raise HeaderError("its header is no JSON") from error
    if not isinstance(content, dict):
        raise HeaderError("its header is no JSON object")
    return content


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two entries of one name they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise HeaderError(f"its header names {plain(twice, 60)!r} twice")
    return found


def _integer(text: str) -> int:
    """Sizes fit in 64 bits; longer numbers only cost time."""
    if len(text) > 20:
        raise HeaderError("its header holds a number beyond 64 bits")
    return int(text)


def _no_number(text: str) -> float:
    raise HeaderError("its header holds a number that is no integer")


def _check(content: dict[str, Any]) -> tuple[Header, int]:
    """The header, and where the last tensor ends in the data."""
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise HeaderError("its __metadata__ does not hold texts")
    tensors = {}
    places = []
    for name, entry in content.items():
        info, begin, end = _tensor(name, entry)
        tensors[name] = info
        places.append((begin, end, name))
    position = 0
    for begin, end, name in sorted(places):
        if begin < position:
            raise HeaderError(f"{plain(name, 80)!r} overlaps another tensor")
        if begin > position:
            raise HeaderError(
                f"{begin - position:,} bytes before {plain(name, 80)!r} are no tensor's"
            )
        position = end
    return Header(tensors, metadata), position


def _tensor(name: str, entry: Any) -> tuple[TensorInfo, int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise HeaderError(f"what its header says of {plain(name, 80)!r} is not a tensor's")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _sizes(shape) or len(shape) > _MAX_RANK or not _sizes(offsets) or len(offsets) != 2:
        raise HeaderError(f"shape or place of {plain(name, 80)!r} are no numbers")
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise HeaderError(
            f"{plain(name, 80)!r} is of type {plain(dtype, 20)!r}, which does not exist"
        )
    begin, end = offsets
    bits = math.prod(shape) * _BITS[dtype]
    if begin > end or bits % 8 or bits // 8 != end - begin:
        has, needs = f"{end - begin:,} bytes", f"{-(-bits // 8):,}"
        raise HeaderError(f"{plain(name, 80)!r} has {has}; its shape and type need {needs}")
    return TensorInfo(dtype, tuple(shape)), begin, end


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
