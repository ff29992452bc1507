"""How work reports its progress, through one function that the caller gives, and durations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Passes items through and shows how many have passed."""

    def __call__(
        self, items: Iterable[T], description: str, total: int | None = None
    ) -> Iterator[T]:
        """The same items; ``total`` where ``items`` has no length."""


def silent(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """A :class:`Track` that shows nothing."""
    yield from items


def duration(seconds: float) -> str:
    """Such as ``40 s``, ``7 min`` or ``2 h 5 min``.

    >>> duration(39.7), duration(400), duration(7500), duration(0.4)
    ('40 s', '7 min', '2 h 5 min', '1 s')
    """
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
