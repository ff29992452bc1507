"""How long work reports its progress: through one function that the caller gives."""

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
