"""Pixels of the model's input size with labels: what methods and measurements read."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from ngf_hub.errors import DataError

MEMORY_BOUND = 2**30
"""Sets of more bytes than this lie in a memory-mapped temporary file."""


class PixelSet:
    """Images as pixels, before normalisation, with labels.

    Args:
        pixels: (N, channels, H, W), uint8, or floating point in [0, 1].
        labels: The model's class indices (N,), or ``None``.

    Attributes:
        labels: As above, int64.
    """

    def __init__(self, pixels: Tensor, labels: Tensor | None = None) -> None:
        if pixels.ndim != 4:
            raise DataError(
                f"Pixels have shape {tuple(pixels.shape)}; (N, channels, height, width) is needed."
            )
        if labels is not None:
            labels = labels.to("cpu", torch.int64)
            if labels.shape != pixels.shape[:1]:
                raise DataError(
                    f"There are {len(pixels)} images, but labels of shape {tuple(labels.shape)}."
                )
        self._all = pixels
        self._rows: Tensor | None = None
        self.labels = labels

    def __len__(self) -> int:
        return len(self._all) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        labelled = "without labels" if self.labels is None else "labelled"
        return f"<PixelSet of {len(self)} {labelled} images of shape {self.shape}>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self._all.shape[1:]
        return channels, height, width

    @property
    def pixels(self) -> Tensor:
        """All pixels (N, channels, H, W) as they are kept, uint8 or float32."""
        return self._all if self._rows is None else self._all[self._rows]

    def select(self, indices: Sequence[int] | Tensor | range) -> PixelSet:
        """Some of the images, in the order of ``indices``; pixels are not copied."""
        chosen = _as_index(indices)
        selected = PixelSet.__new__(PixelSet)
        selected._all = self._all
        selected._rows = chosen if self._rows is None else self._rows[chosen]
        selected.labels = None if self.labels is None else self.labels[chosen]
        return selected

    def batches(
        self,
        batch_size: int,
        device: torch.device | str | None = None,
        indices: Sequence[int] | Tensor | range | None = None,
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches of the images, in order.

        Args:
            batch_size: Images a batch; the last may be smaller.
            device: Where pixels and labels are put.
            indices: Which images, in this order; ``None`` for all.

        Yields:
            Pixels (B, channels, H, W), float32 in [0, 1]; labels (B,), int64, of
            -1 where the set has none; and the indices (B,), int64, on the CPU.
        """
        order = torch.arange(len(self)) if indices is None else _as_index(indices)
        for index in order.split(batch_size):
            rows = index if self._rows is None else self._rows[index]
            pixels = self._all[rows].to(device, non_blocking=True)
            pixels = pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels.float()
            if self.labels is None:
                labels = torch.full((len(index),), -1, device=device)
            else:
                labels = self.labels[index].to(device)
            yield pixels, labels, index


def _as_index(indices: Sequence[int] | Tensor | range) -> Tensor:
    if isinstance(indices, range):
        return torch.arange(indices.start, indices.stop, indices.step)
    return torch.as_tensor(indices, dtype=torch.int64).cpu()


def empty_pixels(shape: tuple[int, int, int, int], memory_bound: int = MEMORY_BOUND) -> Tensor:
    """Room for pixels of a shape, uint8: in memory, or in a temporary file above the bound.

    The file has no name once it is mapped (where the system allows it), so it
    is gone when the tensor is, whatever becomes of the process.

    Raises:
        DataError: The disk has no room for it.
    """
    count = 1
    for extent in shape:
        count *= extent
    if count <= memory_bound:
        return torch.empty(shape, dtype=torch.uint8)
    handle, name = tempfile.mkstemp(prefix="ngf-hub-pixels-")
    try:
        _reserve(handle, count)
        mapped = torch.from_file(name, shared=True, size=count, dtype=torch.uint8)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise DataError(
            f"There is no room for {count / 2**30:.1f} GiB of pixels in {tempfile.gettempdir()}.",
            "Free some space, set TMPDIR to another disk, or use fewer images.",
        ) from error
    finally:
        os.close(handle)
    pixels = mapped.view(shape)
    try:
        Path(name).unlink()
    except PermissionError:  # Windows keeps files that are mapped
        weakref.finalize(pixels, _remove, name)
    return pixels


def _remove(name: str) -> None:
    with suppress(OSError):
        Path(name).unlink()


def _reserve(handle: int, size: int) -> None:
    """Allocate a file's blocks now: writing to a mapped file on a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    block = bytes(2**20)
    while size > 0:
        size -= os.write(handle, block[: min(size, len(block))])
