"""Images that are given in memory, of whatever kind, as pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ngf_hub.data.columns import find_columns
from ngf_hub.data.convert import fill_pixels, to_pixels
from ngf_hub.data.images import ImageSet
from ngf_hub.data.labels import Labels
from ngf_hub.data.pixels import PixelSet
from ngf_hub.data.rows import TableRows
from ngf_hub.errors import DataError
from ngf_hub.progress import Track, silent

if TYPE_CHECKING:
    from PIL.Image import Image

    from ngf_hub.adapters.preprocessing import Preprocessing

_NOT_PIXELS = "Give pixels in [0, 1] before normalisation; mean and std are given to load_model."


def as_pixels(
    images: Any,
    labels: Tensor | Sequence[int] | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    track: Track = silent,
) -> PixelSet:
    """Pixels of images that are given in memory, of whatever kind they are.

    Args:
        images: Pixels (N, channels, H, W) in [0, 1] or uint8, as a tensor or
            array; a ``torch`` dataset, data loader or sequence of images or of
            ``(image, label)``, where an image is a PIL image, pixels
            (channels, H, W) or an array (H, W[, channels]) of uint8; a
            ``datasets.Dataset``; an :class:`ImageSet` or :class:`PixelSet`.
        labels: The model's class indices (N,), where ``images`` does not bring
            them; these win over those that it brings.
        preprocessing: The model's; needed for PIL images and arrays, and pixels
            are checked against its channels.
        track: Shows progress.

    Raises:
        DataError: They are no images, of different shapes, or not in [0, 1].
    """
    result = _convert(images, preprocessing, track)
    if labels is not None:
        result = PixelSet(result.pixels, torch.as_tensor(labels))
    if preprocessing is not None:
        wanted = (preprocessing.channels, *preprocessing.size)
        if result.shape != wanted:
            raise DataError(
                f"The images are of shape {_times(result.shape)} (channels, height, width), "
                f"the model takes {_times(wanted)}.",
                "Resize them, or give PIL images, which are resized.",
            )
    return result


def _times(shape: Sequence[int]) -> str:
    return "x".join(str(extent) for extent in shape)


def _convert(images: Any, preprocessing: Preprocessing | None, track: Track) -> PixelSet:
    from torch.utils.data import DataLoader, TensorDataset

    if isinstance(images, PixelSet):
        return images
    if isinstance(images, ImageSet):
        return to_pixels(images, _needed(preprocessing), track=track)
    if isinstance(images, Tensor | np.ndarray):
        return PixelSet(_checked(torch.as_tensor(images)))
    if isinstance(images, TensorDataset):
        pixels, *rest = images.tensors
        return PixelSet(_checked(pixels), rest[0] if rest else None)
    if isinstance(images, DataLoader):
        return _join(list(track(images, "Reading batches")), torch.cat)
    if type(images).__module__.partition(".")[0] == "datasets":
        return to_pixels(_of_table(images), _needed(preprocessing), track=track)
    try:
        items = images if hasattr(images, "__getitem__") else list(images)
        count = len(items)
    except TypeError as error:
        raise DataError(
            f"Images cannot be read from {type(images).__name__!r}.",
            "Give a tensor, a dataset, or a sequence of (image, label).",
        ) from error
    if count == 0:
        raise DataError("There are no images.")
    # One at a time: a dataset may decode when it is asked, and hold more than memory does.
    one_by_one = (items[index] for index in range(count))
    first = next(one_by_one)
    all_items = chain([first], one_by_one)
    if isinstance(first[0] if isinstance(first, tuple | list) else first, Tensor):
        return _join(list(track(all_items, "Reading images", count)), torch.stack)
    return _from_pictures(all_items, count, _needed(preprocessing), track)


def _of_table(table: Any) -> ImageSet:
    """The rows of a ``datasets.Dataset`` as images."""
    from datasets import Dataset

    if not isinstance(table, Dataset):
        raise DataError(
            f"Images cannot be read from {type(table).__name__!r}.",
            "Give one split of it, loaded without streaming.",
        )
    columns = find_columns(table.features)
    rows = TableRows(table, columns, str(table.split or "given"), trusts_paths=True)
    return rows.images(rows.all, Labels(columns, rows.values or ()))


def _join(items: list[Any], join: Callable[[list[Tensor]], Tensor]) -> PixelSet:
    """Tensors, or pairs of them with labels, as one set."""
    pixels, labels = _unzip(items)
    try:
        joined = join([torch.as_tensor(p) for p in pixels])
        told = None if labels is None else join([torch.as_tensor(y) for y in labels])
    except (RuntimeError, TypeError) as error:
        raise DataError("The images are not all of one shape.", "Resize them first.") from error
    return PixelSet(_checked(joined), told)


def _from_pictures(
    items: Iterable[Any], count: int, preprocessing: Preprocessing, track: Track
) -> PixelSet:
    """Pictures, or pairs of them with labels; items are asked for in this thread only."""
    labels: list[int] = []

    def pictures() -> Iterator[Any]:
        for item in items:
            if not isinstance(item, tuple | list):
                yield item
                continue
            labels.extend(int(label) for label in item[1:2])
            yield item[0]

    pixels = fill_pixels(pictures(), _as_picture, preprocessing, count=count, track=track)
    return PixelSet(pixels, torch.tensor(labels) if labels else None)


def _as_picture(value: Any) -> Image:
    from PIL import Image

    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return Image.fromarray(value)
    if isinstance(value, Image.Image):
        return value
    raise DataError(
        f"An image is of type {type(value).__name__!r}.",
        "Give PIL images, tensors (channels, height, width) or uint8 arrays.",
    )


def _unzip(items: list[Any]) -> tuple[list[Any], list[Any] | None]:
    if not isinstance(items[0], tuple | list):
        return items, None
    if len(items[0]) == 1:
        return [item[0] for item in items], None
    return [item[0] for item in items], [item[1] for item in items]


def _checked(pixels: Tensor) -> Tensor:
    """Pixels as uint8, or float32 known to be in [0, 1]."""
    pixels = pixels.detach().cpu()
    if pixels.dtype == torch.uint8:
        return pixels
    if not pixels.is_floating_point():
        raise DataError(f"Pixels are of type {pixels.dtype}.", "Give uint8, or floats in [0, 1].")
    if pixels.numel() and not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails this too
        low, high = float(pixels.min()), float(pixels.max())
        raise DataError(f"Pixels go from {low:.3g} to {high:.3g}.", _NOT_PIXELS)
    return pixels.float()


def _needed(preprocessing: Preprocessing | None) -> Preprocessing:
    if preprocessing is None:
        raise DataError(
            "Pictures need the preprocessing of a model.", "Pass preprocessing=model.preprocessing."
        )
    return preprocessing
