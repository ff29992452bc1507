"""Every pickle in a file: of PyTorch, joblib, NumPy or Python, in whatever it is wrapped.

What a file is, its first bytes say, as they do to the loaders; its name says nothing.
"""

from __future__ import annotations

import io
import mmap
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ngf_hub.evidence.numpy_header import NUMPY_MAGIC, NumpyHeaderError, holds_objects
from ngf_hub.evidence.pickle_names import danger
from ngf_hub.evidence.pickle_parts import Budget, Stream, Window, may_be_pickle
from ngf_hub.evidence.pickle_stream import read_stream
from ngf_hub.evidence.wrappings import expand, is_compressed, is_tar, sealed_form, worth_reading
from ngf_hub.evidence.zip_layout import (
    ZIP_MAGIC,
    Member,
    ZipLayoutError,
    ends_like_zip,
    open_members,
)
from ngf_hub.text import plain

Form = Literal[
    "torch",
    "torch legacy",
    "pickle",
    "numpy",
    "zip",
    "tar",
    "compressed",
    "sealed",
    "empty",
    "other",
]
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_DEPTH = 4
_GLANCE = 1 << 12
_PICKLE_NAMES = re.compile(r"(?i).*\.(?:pkl|pickle|joblib|npy|npz|bin|pt|pth|ckpt|pk|p|model)")
# The members of the zip archive that torch.save writes, below its one folder.
_MEMBERS = re.compile(
    r"data\.pkl|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id|data/[\w.-]+"
)


@dataclass
class Part:
    """A stream and where it lies in the file.

    Attributes:
        where: The member of an archive, or empty.
        stream: What it would do.
        certain: Whether it is read as a pickle at all, and from this byte on.
    """

    where: str
    stream: Stream
    certain: bool = True


@dataclass
class Contents:
    """What was found in a file.

    Attributes:
        form: What it is.
        parts: Its pickles.
        dangers: What hides something from a reader, one line each.
        oddities: What the format's own writer does not write.
        unread: What was not looked into.
    """

    form: Form = "other"
    parts: list[Part] = field(default_factory=list)
    dangers: list[str] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read_contents(path: Path, budget: Budget | None = None) -> Contents:
    """Find and follow every pickle in a file, without running any.

    Args:
        path: The file.
        budget: How much work it may cost.

    Raises:
        OSError: It cannot be read.
    """
    reader = _Reader(budget or Budget())
    with path.open("rb") as file:
        if not file.seek(0, io.SEEK_END):
            reader.contents.form = "empty"
            return reader.contents
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reader.contents.form = reader.read(data, "", True, 0)
    return reader.contents


class _Reader:
    """Goes through a file, and through what is in it."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.contents = Contents()

    def danger(self, where: str, what: str) -> None:
        self.contents.dangers.append(_at(where, what))

    def unread(self, where: str, what: str) -> None:
        self.contents.unread.append(_at(where, what))

    def read(self, data: bytes | mmap.mmap, where: str, certain: bool, depth: int) -> Form:
        """Go through one file or member; ``certain``: it is loaded as what it looks like."""
        self.budget.parts -= 1
        if depth > _DEPTH or self.budget.parts < 0:
            self.unread(where, "it holds files within files within files")
            return "other"
        head = data[:512]
        if (sealed := sealed_form(head)) is not None:
            self.unread(where, f"it is a {sealed}, which is not looked into")
            return "sealed"
        if head.startswith(ZIP_MAGIC):
            return self.read_zip(data, where, certain, depth)
        if head.startswith(NUMPY_MAGIC):
            self.read_numpy(data, where, depth)
            return "numpy"
        if is_compressed(head):
            self.read_compressed(data, where, certain, depth)
            return "compressed"
        if is_tar(head):
            self.read_tar(data, where, certain, depth)
            return "tar"
        return self.read_streams(data, where, certain, depth)

    # -- pickles

    def read_streams(self, data: bytes | mmap.mmap, where: str, certain: bool, depth: int) -> Form:
        """One pickle or several, one behind the other."""
        window = Window(data)
        first = read_stream(window, self.budget)
        if first.error and not (certain and _is_meant_as_pickle(data[:2], first)):
            if first.names:
                self.keep(first, where, False, depth)
            return "other"
        if first.value == TORCH_MAGIC and not first.names:
            self.read_legacy(window, first, where, certain, depth)
            return "torch legacy"
        if first.arrays:
            # Only joblib.load skips the arrays; pickle.load would run into them.
            self.keep(first, where, False, depth)
            window.seek(0)
            first = read_stream(window, self.budget, joblib=True)
        self.keep(first, where, certain, depth)
        self.read_rest(window, first.error is not None, where, certain, depth)
        if certain and ends_like_zip(data):
            self.danger(where, "it is a pickle and a zip archive at once")
        return "pickle"

    def read_rest(
        self, window: Window, failed: bool, where: str, certain: bool, depth: int
    ) -> None:
        """What stands behind the first pickle."""
        while window.left() and not failed and self.budget.parts > 0:
            self.budget.parts -= 1
            start = window.tell()
            head = window.peek(2)
            following = read_stream(window, self.budget)
            failed = following.error is not None
            if failed and not _is_meant_as_pickle(head, following):
                if certain:
                    size = window.size - start
                    self.contents.oddities.append(_at(where, f"{size} bytes follow its pickle"))
                return
            self.keep(following, where, certain, depth)

    def read_legacy(
        self, window: Window, magic: Stream, where: str, certain: bool, depth: int
    ) -> None:
        """``torch.save`` before 1.6: magic, version, system, the object, keys; then raw data."""
        self.keep(magic, where, certain, depth)
        for _ in range(4):
            stream = read_stream(window, self.budget)
            self.keep(stream, where, certain, depth)
            if stream.error:
                return

    def keep(self, stream: Stream, where: str, certain: bool, depth: int) -> None:
        """Keep a stream, and look into the literals in it that may be pickles too."""
        self.contents.parts.append(Part(where, stream, certain))
        nested, stream.nested = stream.nested, []
        for data, loaded in nested:
            self.read(data, _at(where, "a pickle in it"), certain and loaded, depth + 1)

    # -- what pickles are wrapped in

    def read_zip(self, data: bytes | mmap.mmap, where: str, certain: bool, depth: int) -> Form:
        try:
            members = open_members(data)
        except ZipLayoutError as error:
            if certain:
                self.danger(where, str(error))
            return "zip"
        pickles = [member for member in members if _inner(member).lower() == "data.pkl"]
        if pickles:
            self.check_torch(members, pickles, where)
        for member in members:
            self.read_member(member, bool(pickles), where, certain, depth)
        return "torch" if pickles else "zip"

    def check_torch(self, members: list[Member], pickles: list[Member], where: str) -> None:
        """Deviations from the archive that ``torch.save`` writes."""
        oddities, inner = self.contents.oddities, [_inner(member) for member in members]
        if len(pickles) != 1:
            self.danger(where, f"it holds {len(pickles)} data.pkl instead of one")
        elif inner.count("data.pkl") != 1:
            self.danger(where, f"it holds {pickles[0].name!r} instead of data.pkl")
        # PyTorch looks members up without regard to case.
        if len({member.name.lower() for member in members}) != len(members):
            self.danger(where, "two of its members have one name")
        if any(name.startswith("code/") or name == "constants.pkl" for name in inner):
            oddities.append(_at(where, "it is TorchScript, which holds code"))
            return
        for member, name in zip(members, inner, strict=True):
            if not _MEMBERS.fullmatch(name):
                what = f"it holds {member.name!r}, which torch.save does not write"
                oddities.append(_at(where, what))
            if not member.stored or member.encrypted:
                oddities.append(_at(where, f"{member.name!r} is compressed or encrypted"))

    def read_member(
        self, member: Member, torch: bool, where: str, certain: bool, depth: int
    ) -> None:
        """A member, if it may be a pickle or hold one."""
        # Raw tensors may start like anything, and nobody unpickles them.
        if torch and _inner(member).startswith("data/"):
            return
        inside = _at(where, member.name)
        if member.encrypted:
            self.unread(inside, "it is encrypted")
            return
        size = member.info.file_size
        try:
            head = member.head(_GLANCE)
            if not _PICKLE_NAMES.fullmatch(member.name) and not worth_reading(head):
                self.read(head, inside, False, depth + 1)
                return
            if size > self.budget.expanded:
                self.unread(inside, f"it has {size:,} bytes, more than is looked into")
                return
            self.budget.expanded -= size
            content = head if size <= len(head) else member.head(size)
        except ZipLayoutError as error:
            self.unread(inside, str(error))
            return
        if not member.intact(content):
            self.danger(inside, "its checksum is wrong")
        self.read(content, inside, certain, depth + 1)

    def read_tar(self, data: bytes | mmap.mmap, where: str, certain: bool, depth: int) -> None:
        file: Any = io.BytesIO(data) if isinstance(data, bytes) else data
        try:
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if not member.isfile():
                        continue
                    inside = _at(where, member.name)
                    if member.size > self.budget.expanded or self.budget.parts <= 0:
                        self.unread(inside, f"it has {member.size:,} bytes")
                        continue
                    self.budget.expanded -= member.size
                    content = archive.extractfile(member)
                    if content is not None:
                        self.read(content.read(), inside, certain, depth + 1)
        # tarfile meets hostile headers with many kinds of exception.
        except Exception as error:
            self.danger(where, f"its tar archive cannot be read ({type(error).__name__})")

    def read_compressed(
        self, data: bytes | mmap.mmap, where: str, certain: bool, depth: int
    ) -> None:
        content, error = expand(data, self.budget.expanded)
        # What comes before a cut is loaded all the same.
        if error is not None and certain:
            self.unread(where, f"it cannot be decompressed to its end ({error})")
        if len(content) > self.budget.expanded:
            self.unread(where, "it expands to more than is looked into")
            return
        self.budget.expanded -= len(content)
        self.read(content, where, certain, depth + 1)

    def read_numpy(self, data: bytes | mmap.mmap, where: str, depth: int) -> None:
        window = Window(data)
        window.seek(0)
        try:
            if not holds_objects(window):
                return
        except NumpyHeaderError as error:
            self.danger(where, str(error))
            return
        stream = read_stream(window, self.budget)
        self.keep(stream, where, True, depth)
        self.read_rest(window, stream.error is not None, where, True, depth)


def _is_meant_as_pickle(head: bytes, stream: Stream) -> bool:
    """Whether what cannot be followed is a broken pickle and not something else.

    Text, too, may start with opcodes: those of ``cat``, ``dog`` and ``bird``, one
    a line, import ``at.dog``.
    """
    if len(head) == 2 and may_be_pickle(head):
        return True
    return bool(stream.tricks) or any(danger(name) for name in stream.names)


def _inner(member: Member) -> str:
    """A member's name below the one folder that ``torch.save`` writes into."""
    return member.name.partition("/")[2]


def _at(where: str, what: str) -> str:
    return plain(f"{where}: {what}" if where else what)
