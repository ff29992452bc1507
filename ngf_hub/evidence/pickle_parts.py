"""What is read of pickles: names, streams, and the bytes that they are in."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, NamedTuple

# Of tuples and attributes; longer ones say nothing that would be of interest.
KEPT_ITEMS = 64


class Name(NamedTuple):
    """A global that a stream names: ``module`` and, perhaps dotted, ``name``."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Made:
    """Something that a stream makes, of which little is known.

    Attributes:
        maker: What was called to make it.
        arguments: The first two that it was called with.
        state: What was set with BUILD: one known time, or else :data:`UNKNOWN`.
    """

    __slots__ = ("arguments", "maker", "state")

    def __init__(self, maker: Name | None = None, arguments: tuple[Any, ...] = ()) -> None:
        self.maker = maker
        self.arguments = arguments
        self.state: Any = None


class State(dict[str, Any]):
    """The attributes of an object; ``complete`` if they are all here, and literal."""

    complete = True

    def take(self, items: list[Any]) -> None:
        """Add keys and values that stand in turn."""
        if len(self) + len(items) > KEPT_ITEMS or len(items) % 2:
            self.complete = False
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str):
                self[key] = value
            else:
                self.complete = False


OTHER = Made()
UNKNOWN = Made()


class PickleError(Exception):
    """A stream cannot be followed; the message says why, in the middle of a sentence."""


class PickleTooLong(PickleError):
    """A stream was not followed to its end, for lack of time."""


@dataclass
class Budget:
    """What may still be spent on a file, so that no file takes for ever.

    Attributes:
        operations: Opcodes of pickles, of which a second takes a million or more.
        expanded: Bytes of members of archives, and that compressed files may grow to.
        parts: Streams, members of archives, and the like.
    """

    operations: int = 20_000_000
    expanded: int = 1 << 28
    parts: int = 10_000


class Window:
    """Bytes or a mapped file, read like a file."""

    def __init__(self, data: bytes | mmap) -> None:
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        # Bound methods, since these are called once or twice for each opcode.
        self.read: Callable[[int], bytes] = file.read
        self.readline: Callable[[], bytes] = file.readline
        self.tell = file.tell
        self.seek = file.seek
        self.size = len(data)

    def left(self) -> int:
        """The number of bytes that were not read."""
        return self.size - self.tell()

    def peek(self, count: int) -> bytes:
        """Up to ``count`` bytes, without reading them."""
        position = self.tell()
        data = self.read(count)
        self.seek(position)
        return data


@dataclass
class Stream:
    """What one pickle stream would do.

    Attributes:
        names: The globals that it would import; those that protocols below 3
            give by Python 2's names, by today's.
        loose: Of :data:`~ngf_hub.evidence.pickle_use.BY_USE`, how often each is used
            in another than its harmless way.
        tricks: What no honest stream does, each as one line.
        nested: Literals that are, or may be, pickles themselves, and whether
            something in the stream would unpickle them.
        value: What it leaves: a literal, a name, or an object that says nothing.
        arrays: Whether raw arrays of joblib stand between the opcodes.
        error: Why it could not be followed to its end.
        too_long: Whether that is only for lack of time.
    """

    names: set[Name] = field(default_factory=set)
    loose: Counter[Name] = field(default_factory=Counter)
    tricks: dict[str, None] = field(default_factory=dict)
    nested: list[tuple[bytes, bool]] = field(default_factory=list)
    value: Any = None
    arrays: bool = False
    error: str | None = None
    too_long: bool = False


def may_be_pickle(data: bytes | bytearray) -> bool:
    """Whether bytes start like a pickle of protocol 2 to 5 or like a zip archive."""
    return data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and 2 <= (data[1:2] or b"\0")[0] <= 5)
