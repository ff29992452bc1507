"""What files are wrapped in, told by their first bytes, and how compressed ones are expanded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable
from mmap import mmap
from typing import Any

from ngf_hub.evidence.numpy_header import NUMPY_MAGIC
from ngf_hub.evidence.pickle_parts import may_be_pickle

_UNREADABLE = {
    b"7z\xbc\xaf\x27\x1c": "7z archive",
    b"Rar!\x1a\x07": "RAR archive",
    b"\x28\xb5\x2f\xfd": "zstd-compressed file",
    b"\x04\x22\x4d\x18": "lz4-compressed file",
}
_COMPRESSED: tuple[tuple[re.Pattern[bytes], Callable[[io.BytesIO], Any]], ...] = (
    (re.compile(rb"\x1f\x8b"), lambda file: gzip.GzipFile(fileobj=file)),
    (re.compile(rb"BZh[1-9]1AY&SY"), bz2.BZ2File),
    (re.compile(rb"\xfd7zXZ\0|\x5d\0\0[\0-\xff]{2}"), lzma.LZMAFile),
    (re.compile(rb"\x78[\x01\x5e\x9c\xda]"), lambda file: _Inflated(file)),
)


def sealed_form(head: bytes) -> str | None:
    """What a file is that cannot be looked into, if it is such a one."""
    return next((name for magic, name in _UNREADABLE.items() if head.startswith(magic)), None)


def is_compressed(head: bytes) -> bool:
    """Whether a file that starts so is one that :func:`expand` expands."""
    return any(pattern.match(head) for pattern, _ in _COMPRESSED)


def expand(data: bytes | mmap, limit: int) -> tuple[bytes, str | None]:
    """Expand a compressed file.

    Args:
        data: The file.
        limit: The number of bytes behind which it stops.

    Returns:
        The content, longer than ``limit`` if there is more, and the name of the
        error that it breaks off with.
    """
    file: Any = io.BytesIO(data) if isinstance(data, bytes) else data
    file.seek(0)
    content = bytearray()
    try:
        opener = next(opener for pattern, opener in _COMPRESSED if pattern.match(data[:16]))
        opened = opener(file)
        # By read1, since read loses what comes before an error.
        while len(content) <= limit and (block := opened.read1(1 << 16)):
            content += block
    # Each of the compressors raises its own.
    except Exception as error:
        return bytes(content), type(error).__name__
    return bytes(content), None


class _Inflated:
    """A zlib stream, read like a file."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.machine = zlib.decompressobj()

    def read1(self, count: int) -> bytes:
        """Up to ``count`` further bytes of what it expands to; none at the end."""
        while not self.machine.eof:
            block = self.machine.unconsumed_tail or self.file.read(1 << 16)
            if not block:
                raise EOFError
            if content := self.machine.decompress(block, count):
                return content
        return b""


def worth_reading(head: bytes) -> bool:
    """Whether a file that starts so is a pickle of a known form, or wraps something."""
    return (
        may_be_pickle(head)
        or head.startswith((NUMPY_MAGIC, *_UNREADABLE))
        or is_compressed(head)
        or is_tar(head)
    )


def is_tar(head: bytes) -> bool:
    """Whether a file that starts so is a tar archive."""
    if len(head) < tarfile.BLOCKSIZE or not head[0]:
        return False
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True
