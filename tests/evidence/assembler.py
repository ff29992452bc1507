"""Pickles put together by hand, opcode by opcode."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    """BINUNICODE."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def data(value: bytes) -> bytes:
    """BINBYTES."""
    return b"B" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    """BININT."""
    return b"J" + struct.pack("<i", value)


def name(module: str, attribute: str) -> bytes:
    """GLOBAL, or STACK_GLOBAL where the attribute is dotted."""
    if "." in attribute:
        return text(module) + text(attribute) + b"\x93"
    return f"c{module}\n{attribute}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    """A callable and its arguments, called by REDUCE."""
    return function + b"(" + b"".join(arguments) + b"tR"


def stream(*parts: bytes, protocol: int = 4) -> bytes:
    """A pickle: PROTO, the parts, STOP. Only what the last part leaves is its value."""
    return b"\x80" + bytes([protocol]) + b"0".join(parts) + b"."


def touch(mark: object) -> bytes:
    """The argument of ``os.system`` that makes the mark."""
    return text(f"touch '{mark}'")


def writing(mark: object) -> bytes:
    """Python source that makes the mark."""
    return text(f"open({str(mark)!r}, 'w').close()")


def shell(mark: object) -> bytes:
    """The plainest payload: ``os.system("touch ...")``."""
    return call(name("os", "system"), touch(mark))
