"""How sums over images become sums over every process's images.

Curvature is made of sums over images. A process that holds a shard of them
computes its share, and a :data:`Reduce` turns the share into the total; with
one process that is :func:`local`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from torch import Tensor

Reduce: TypeAlias = Callable[[Tensor], Tensor]
"""Takes this process's share of a sum, gives the sum over all processes on each of them."""

MAX_TEMPORARY = 2**21
"""Elements that a temporary over (rows, columns) may hold; rows are taken in chunks below it."""


def local(share: Tensor) -> Tensor:
    """The reduction over one process: the share is the total."""
    return share


def row_chunks(rows: int, columns: int) -> Iterator[slice]:
    """Slices over ``rows`` whose (chunk, columns) temporaries stay within MAX_TEMPORARY."""
    size = max(1, MAX_TEMPORARY // max(1, columns))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
