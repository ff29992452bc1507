"""Pixels of the model's input size with labels: what methods and measurements read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ngf_hub.errors import DataError
from ngf_hub.spilling import room

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
    """Room for pixels of a shape, uint8: see :func:`ngf_hub.spilling.room`.

    Raises:
        DataError: The disk has no room for it.
    """
    return room(shape, torch.uint8, "pixels", memory_bound)
