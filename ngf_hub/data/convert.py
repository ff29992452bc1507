"""From images of any kind to the pixels that a model reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ngf_hub.data.images import ImageSet
from ngf_hub.data.picture import in_channels
from ngf_hub.data.pixels import MEMORY_BOUND, PixelSet, empty_pixels
from ngf_hub.errors import DataError
from ngf_hub.progress import Track, silent

if TYPE_CHECKING:
    from PIL.Image import Image

    from ngf_hub.adapters.preprocessing import Preprocessing


def to_pixels(
    images: ImageSet,
    preprocessing: Preprocessing,
    *,
    label_map: Sequence[int] | None = None,
    track: Track = silent,
    description: str = "Preparing images",
    memory_bound: int = MEMORY_BOUND,
) -> PixelSet:
    """Decode, resize and crop images as the model's own preprocessing does.

    Args:
        images: The images.
        preprocessing: The model's.
        label_map: The model's class index for each of the data's, as
            :func:`match_classes` gives it; ``None`` where they are the same.
        track: Shows progress.
        description: What is done, for the progress bar.
        memory_bound: Bytes above which a temporary file holds the pixels.

    Raises:
        DataError: An image cannot be decoded, or a label has no class.
    """
    labels = images.labels
    if labels is not None and label_map is not None:
        if len(labels) and int(labels.max()) >= len(label_map):
            raise DataError(
                f"A label is {int(labels.max())}, but only {len(label_map)} classes were matched."
            )
        labels = torch.tensor(label_map, dtype=torch.int64)[labels]
    pixels = fill_pixels(
        range(len(images)),
        lambda i: images[i][0],
        preprocessing,
        track=track,
        description=description,
        memory_bound=memory_bound,
    )
    return PixelSet(pixels, labels)


def fill_pixels(
    items: Iterable[Any],
    picture: Callable[[Any], Image],
    preprocessing: Preprocessing,
    *,
    count: int | None = None,
    track: Track = silent,
    description: str = "Preparing images",
    memory_bound: int = MEMORY_BOUND,
) -> Tensor:
    """Preprocess pictures in threads (decoding and resizing let go of the interpreter lock).

    Args:
        items: What pictures are made of; read in the calling thread.
        picture: Makes a picture of an item.
        preprocessing: The model's.
        count: How many items; needed where they have no length.
        track: Shows progress.
        description: What is done, for the progress bar.
        memory_bound: Bytes above which a temporary file holds the pixels.
    """
    if count is None:
        count = len(items)  # type: ignore[arg-type]
    height, width = preprocessing.size
    pixels = empty_pixels((count, preprocessing.channels, height, width), memory_bound)

    def convert(numbered: tuple[int, Any]) -> None:
        index, item = numbered
        image = in_channels(picture(item), preprocessing.channels)
        result = preprocessing.to_pixels(image)
        if result.shape != pixels.shape[1:] or result.dtype != torch.uint8:
            raise DataError(
                f"The preprocessing gave {result.dtype} of shape {tuple(result.shape)}, "
                f"and said it would give uint8 of {tuple(pixels.shape[1:])}."
            )
        pixels[index] = result

    for _ in track(_in_threads(convert, enumerate(items)), description, count):
        pass
    return pixels


T = TypeVar("T")


def _in_threads(work: Callable[[T], None], items: Iterable[T]) -> Iterator[None]:
    """Do the work for each item, a few ahead; the first error ends it."""
    workers = min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(max_workers=workers)
    pending: set[Future[None]] = set()
    try:
        for item in items:
            pending.add(pool.submit(work, item))
            if len(pending) >= 4 * workers:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        for future in pending:
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
