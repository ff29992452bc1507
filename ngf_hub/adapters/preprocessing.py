"""From an image to pixels, and from pixels to network input.

The two halves are kept apart because a trigger belongs between them: on
pixels of the network's input size, before normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ngf_hub.errors import ModelError
from ngf_hub.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image


MAX_SIDE = 4096
"""The longest side in pixels of an input; models of the Hub take up to some 1,000."""


class ChannelNormalise(nn.Module):
    """``(x - mean) / std`` per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised inputs of pixels (N, channels, H, W) in [0, 1]."""
        return (pixels - self.mean) / self.std


class ChannelOrder(nn.Module):
    """The channels in another order, such as BGR."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.order = list(order)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (N, channels, H, W), reordered."""
        return pixels[:, self.order]


class ColourClusters(nn.Module):
    """The index of the nearest colour cluster of each pixel (ImageGPT).

    It has no gradient, so that nothing can be learned through it about pixels.
    """

    clusters: Tensor

    def __init__(self, clusters: Tensor) -> None:
        super().__init__()
        self.register_buffer("clusters", clusters, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Indices (N, H * W) of normalised inputs (N, 3, H, W)."""
        colours = inputs.flatten(2).transpose(1, 2)
        return torch.cdist(colours, self.clusters.to(colours)[None]).argmin(-1)


class Patches(nn.Module):
    """Square patches with the channels last, as SigLIP 2 takes its images.

    Attributes:
        grid: How many patches stand above and beside each other.
    """

    def __init__(self, patch: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.grid = grid

    def forward(self, inputs: Tensor) -> Tensor:
        """Patches (N, rows * columns, patch * patch * 3) of inputs (N, 3, H, W)."""
        (rows, columns), side = self.grid, self.patch
        cut = inputs.reshape(len(inputs), -1, rows, side, columns, side)
        return cut.permute(0, 2, 4, 3, 5, 1).reshape(len(inputs), rows * columns, -1)


@dataclass
class Preprocessing:
    """A model's own preprocessing, in two halves.

    Attributes:
        size: Height and width of the network's input, in pixels.
        channels: 3 for colour, 1 for grey.
        to_pixels: A PIL image to uint8 pixels (channels, H, W), resized and cropped.
        normalise: Pixels (N, channels, H, W) in [0, 1] to network input.
        config: What the report states: interpolation, mean, std, crop and so on.
    """

    size: tuple[int, int]
    to_pixels: Callable[[Image], Tensor]
    normalise: nn.Module
    channels: int = 3
    config: dict[str, Any] = field(default_factory=dict)


def to_uint8(image: Image, channels: int) -> Tensor:
    """A PIL image as uint8 pixels (channels, H, W), grey or RGB.

    Args:
        image: Of any mode; transparency is dropped.
        channels: 1 or 3.
    """
    import numpy as np

    converted = image.convert("L" if channels == 1 else "RGB")
    pixels = torch.from_numpy(np.array(converted))
    return pixels[None] if channels == 1 else pixels.permute(2, 0, 1).contiguous()


def checked_size(sides: Sequence[Any]) -> tuple[int, int]:
    """Height and width of an input that fit in memory.

    >>> checked_size([224, 224])
    (224, 224)

    Raises:
        ModelError: They are no sizes of an image, or too large.
    """
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= MAX_SIDE for side in sides):
        shown = " x ".join(plain(side, 20) for side in sides[:3])
        raise ModelError(
            f"The model states an input of {shown} pixels, which is no size that can be handled.",
            f"Give the size that it was made for, up to {MAX_SIDE} pixels a side.",
        )
    return sides[0], sides[1]


def spread(values: float | Sequence[float] | None, channels: int, default: float) -> list[float]:
    """One value a channel, from one for all, one each, or none.

    >>> spread(0.5, 3, 1.0), spread(None, 1, 1.0)
    ([0.5, 0.5, 0.5], [1.0])

    Raises:
        ValueError: There are more or fewer than channels.
    """
    if values is None:
        values = default
    listed = [float(values)] if isinstance(values, int | float) else [float(v) for v in values]
    if len(listed) == 1:
        listed *= channels
    if len(listed) != channels:
        raise ValueError(f"{len(listed)} values for {channels} channels")
    return listed
