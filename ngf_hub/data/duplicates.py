"""Pictures that would both tune and judge: found by their pixels, and kept from judging."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ngf_hub.data.picture import open_picture, pixel_hash
from ngf_hub.progress import Track, silent

if TYPE_CHECKING:
    from ngf_hub.data.images import ImageSet

CHUNK = 128


def without_duplicates(
    tune: ImageSet, candidates: ImageSet, count: int | None, track: Track = silent
) -> tuple[list[int], int]:
    """The first candidates whose picture is not among those that tune.

    Pictures are the same if their size and decoded pixels are, however they
    are encoded. Only those are decoded whose size occurs on both sides.

    Args:
        tune: The images that tune.
        candidates: Images that may judge, in order.
        count: How many are wanted; ``None`` for all.
        track: Shows progress.

    Returns:
        Positions in ``candidates``, and how many before the last were left out.

    Raises:
        DataError: An image cannot be decoded.
    """
    wanted = len(candidates) if count is None else min(count, len(candidates))
    kept: list[int] = []
    seen = 0

    def chunks() -> Iterator[range]:
        start = 0
        while start < len(candidates) and len(kept) < wanted:
            stop = min(len(candidates), start + min(CHUNK, wanted - len(kept)))
            yield range(start, stop)
            start = stop

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        positions = defaultdict(list)
        for position, size in enumerate(pool.map(lambda i: _size(tune, i), range(len(tune)))):
            positions[size].append(position)
        hashes: dict[tuple[int, int], set[bytes]] = {}
        for chunk in track(chunks(), "Comparing images", -(-wanted // CHUNK)):
            sizes = list(pool.map(lambda i: _size(candidates, i), chunk))
            for size in set(sizes) & (positions.keys() - hashes.keys()):
                hashes[size] = set(pool.map(lambda i: _hash(tune, i), positions[size]))
            shared = [i for i, size in zip(chunk, sizes, strict=True) if size in hashes]
            found = dict(zip(shared, pool.map(lambda i: _hash(candidates, i), shared), strict=True))
            for position, size in zip(chunk, sizes, strict=True):
                if position not in found or found[position] not in hashes[size]:
                    kept.append(position)
            seen = chunk.stop
    return kept, seen - len(kept)


def _size(images: ImageSet, index: int) -> tuple[int, int]:
    # Sorted, because the EXIF orientation may turn one of two equal pictures.
    width, height = open_picture(images.encoded(index), images.where(index)).size
    return min(width, height), max(width, height)


def _hash(images: ImageSet, index: int) -> bytes:
    return pixel_hash(images[index][0])
