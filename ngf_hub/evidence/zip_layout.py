"""Zip archives that two readers would read differently.

Python's ``zipfile`` finds the central directory by counting back from the end
of the file; miniz, with which PyTorch reads its archives, goes to the offset
that the end record states. An archive may hold two directories, and each
reader sees another one. Such an archive is refused whatever it holds.

Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.14 to 4.3.16.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from mmap import mmap
from typing import Any

ZIP_MAGIC = b"PK\x03\x04"
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF


class ZipLayoutError(Exception):
    """An archive is broken or ambiguous; the message says how, as one line."""


def check_directory(data: bytes | mmap) -> tuple[int, int]:
    """Refuse an archive whose central directory is not where every reader finds it.

    Args:
        data: The whole file.

    Returns:
        Where the central directory starts, and the number of members.

    Raises:
        ZipLayoutError: It is ambiguous or cut.
    """
    tail = max(0, len(data) - _END.size - _LONGEST_COMMENT)
    at = data.rfind(b"PK\x05\x06", tail)
    if at < 0 or at + _END.size > len(data):
        raise ZipLayoutError("it is a zip archive without its end")
    _, disk, start_disk, here, total, size, offset, comment = _END.unpack_from(data, at)
    if at + _END.size + comment != len(data):
        raise ZipLayoutError("something follows the end of its zip archive")
    if disk or start_disk or here != total:
        raise ZipLayoutError("its zip archive spans several files")
    end = at
    if at >= _LOCATOR.size and data[at - _LOCATOR.size : at][:4] == b"PK\x06\x07":
        end, (total, size, offset) = _zip64(data, at - _LOCATOR.size, (total, size, offset))
    if offset + size != end:
        raise ZipLayoutError("its zip archive has a second directory, or a displaced one")
    return int(offset), int(total)


def _zip64(
    data: bytes | mmap, locator: int, stated: tuple[int, int, int]
) -> tuple[int, tuple[int, int, int]]:
    """Where the directory ends and what the zip64 end record says, if all records agree."""
    _, disk, at, disks = _LOCATOR.unpack_from(data, locator)
    if disk or disks > 1 or at + _END64.size != locator or data[at : at + 4] != b"PK\x06\x06":
        raise ZipLayoutError("its zip archive has a second end record, or a displaced one")
    _, length, _, _, disk, start_disk, here, total, size, offset = _END64.unpack_from(data, at)
    if length != _END64.size - 12 or disk or start_disk or here != total:
        raise ZipLayoutError("the zip64 record of its archive does not make sense")
    for value, short, saturated in zip(
        (total, size, offset), stated, (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF), strict=True
    ):
        if short not in (value, saturated):
            raise ZipLayoutError("the end records of its zip archive contradict each other")
    return at, (total, size, offset)


def ends_like_zip(data: bytes | mmap) -> bool:
    """Whether a file ends as a zip archive does, however it starts."""
    tail = max(0, len(data) - _END.size - _LONGEST_COMMENT)
    at = data.rfind(b"PK\x05\x06", tail)
    if at < 0 or at + _END.size > len(data):
        return False
    return at + _END.size + int(_END.unpack_from(data, at)[-1]) == len(data)


def open_members(data: bytes | mmap) -> list[Member]:
    """The members of an archive, in the order in which they lie in it.

    Raises:
        ZipLayoutError: It is cut, encrypted or ambiguous: a member lies outside
            the archive or within another one, or its own header contradicts the
            directory.
    """
    directory, total = check_directory(data)
    try:
        file: Any = io.BytesIO(data) if isinstance(data, bytes) else data
        listed = sorted(zipfile.ZipFile(file).infolist(), key=lambda info: info.header_offset)
    # Whatever zipfile trips over: its struct, its decoding, its own checks.
    except Exception as error:
        raise ZipLayoutError("the directory of its zip archive cannot be read") from error
    if len(listed) != total:
        raise ZipLayoutError("the directory of its zip archive is of another length than stated")
    members = []
    free = 0
    for info in listed:
        start = _data_start(data, info, free, directory)
        free = start + info.compress_size
        if free > directory:
            raise ZipLayoutError("members of its zip archive overlap")
        members.append(Member(data, info, start))
    return members


def _data_start(data: bytes | mmap, info: zipfile.ZipInfo, free: int, directory: int) -> int:
    """Where a member's data starts, if its own header agrees with the directory."""
    at = info.header_offset
    if at < free or at + _LOCAL.size > directory:
        raise ZipLayoutError("members of its zip archive overlap")
    magic, _, flags, method, _, _, _, _, _, name_length, extra = _LOCAL.unpack_from(data, at)
    name = data[at + _LOCAL.size : at + _LOCAL.size + name_length]
    if (
        magic != ZIP_MAGIC
        or name.decode("utf-8" if flags & 0x800 else "cp437", "replace") != info.orig_filename
        or method != info.compress_type
    ):
        raise ZipLayoutError("a member of its zip archive is not what the directory says")
    if method == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise ZipLayoutError("a member of its zip archive states two sizes")
    return int(at + _LOCAL.size + name_length + extra)


@dataclass(frozen=True)
class Member:
    """A member of an archive.

    Attributes:
        whole: The bytes of the archive.
        info: What its directory says of the member.
        start: Where the member's data starts in it.
    """

    whole: bytes | mmap
    info: zipfile.ZipInfo
    start: int

    @property
    def name(self) -> str:
        """Its full name."""
        return self.info.filename

    @property
    def encrypted(self) -> bool:
        """Whether it cannot be read without a password."""
        return bool(self.info.flag_bits & 0x1)

    @property
    def stored(self) -> bool:
        """Whether it is not compressed."""
        return self.info.compress_type == zipfile.ZIP_STORED

    def head(self, count: int) -> bytes:
        """Up to ``count`` bytes from its start; no checksum is looked at.

        Raises:
            ZipLayoutError: It cannot be expanded.
        """
        size = min(count, self.info.file_size)
        if self.stored:
            return self.whole[self.start : self.start + size]
        if self.info.compress_type != zipfile.ZIP_DEFLATED or self.encrypted:
            raise ZipLayoutError("it is compressed in a way that is not looked into")
        try:
            packed = self.whole[self.start : self.start + self.info.compress_size]
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size) if size else b""
        except zlib.error as error:
            raise ZipLayoutError("it cannot be expanded") from error

    def intact(self, content: bytes) -> bool:
        """Whether its checksum is that of the content."""
        return zlib.crc32(content) == self.info.CRC
