"""Globals that are harmless or not by what a pickle does with them.

Honest pickles name them, and so do hostile ones: ``getattr`` reads the member of
an enumeration, or it reaches ``os.system`` through another module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ngf_hub.evidence.pickle_parts import Made, Name

GETATTR = Name("builtins", "getattr")
TYPE = Name("builtins", "type")
PARTIAL = Name("functools", "partial")
ENCODE = Name("_codecs", "encode")
LOAD_FROM_BYTES = Name("torch.storage", "_load_from_bytes")
BY_USE = {GETATTR, TYPE, PARTIAL, ENCODE, LOAD_FROM_BYTES}
_LATIN1 = {"latin1", "latin-1", "iso-8859-1"}


@dataclass(frozen=True)
class Use:
    """A harmless call of one of :data:`BY_USE`.

    Attributes:
        value: What comes of it.
        member: The further global that it reaches.
        data: Bytes that go in, which may be a pickle ...
        loads: ... and whether they will be read as one.
    """

    value: Any = field(default_factory=Made)
    member: Name | None = None
    data: bytes | None = None
    loads: bool = False


def use_of(function: Name, arguments: tuple[Any, ...]) -> Use | None:
    """The harmless use that a call is, or ``None`` if it is none.

    A callable that comes of it is no :class:`Name`, so that calling it in turn
    is told as calling something computed.
    """
    first = arguments[0] if arguments else None
    if function == GETATTR and len(arguments) == 2:
        # How Python 3.11 pickled members of enumerations.
        attribute = arguments[1]
        if isinstance(first, Name) and isinstance(attribute, str) and attribute.isupper():
            return Use(member=Name(first.module, f"{first.name}.{attribute}"))
    elif function == TYPE and len(arguments) == 1:
        return Use()  # the type of None; with three arguments it makes a class
    elif function == PARTIAL and arguments:
        return Use()  # it calls nothing before somebody calls it
    elif function == ENCODE and len(arguments) == 2:
        # How protocol 2 writes bytes; other codecs unpack and decipher.
        if isinstance(first, str) and arguments[1] in _LATIN1:
            data = first.encode("latin-1", "replace")
            return Use(value=data, data=data)
    elif function == LOAD_FROM_BYTES and len(arguments) == 1 and isinstance(first, bytes):
        return Use(data=first, loads=True)  # how pickle, and not torch.save, writes a tensor
    return None
