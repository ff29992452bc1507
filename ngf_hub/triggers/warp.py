"""A smooth warping of the whole image: WaNet (Nguyen & Tran 2021, arXiv 2102.10369)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ngf_hub.errors import TriggerError
from ngf_hub.triggers.base import Trigger, register
from ngf_hub.triggers.options import Options

STRENGTH = 0.5
GRID = 4


@register
@dataclass
class WarpTrigger(Trigger):
    """Every pixel is fetched from a place that a smooth field moves a little.

    Section 3.2 of the paper: the control grid, upsampled bicubically to the
    image's size and scaled by ``strength / size``, is added to the identity
    grid of [-1, 1]; the sum is clipped and sampled bilinearly. A mean offset of
    1 in the grid therefore moves by ``strength / 2`` pixels at any image size.

    Attributes:
        grid: Offsets (2, k, k), the horizontal ones first; k may be anything up to
            the image's side (a dense flow field). :func:`control_grid` draws one.
        strength: The paper's s, above 0.
        target: The target class, or ``None`` for all-to-all.
    """

    family: ClassVar[str] = "warp"

    grid: Tensor
    strength: float
    target: int | None

    def __post_init__(self) -> None:
        if self.grid.ndim != 3 or self.grid.shape[0] != 2 or not self.grid.isfinite().all():
            raise TriggerError("A warp trigger needs a control grid (2, k, k) of finite numbers.")
        if not 0 < self.strength < float("inf"):
            raise TriggerError("A warp trigger needs a strength above 0.")

    def sampling_grid(self, height: int, width: int) -> Tensor:
        """Where each pixel is fetched from: (height, width, 2), x before y, in [-1, 1]."""
        size = torch.tensor([width, height]).view(2, 1, 1)
        return sampling_places((self.strength * self.grid / size)[None], height, width)[0]

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Trigger.apply`."""
        places = self.sampling_grid(*pixels.shape[-2:]).to(pixels)
        return warped(pixels, places.expand(len(pixels), -1, -1, -1))

    def parameters(self) -> dict[str, Any]:
        """See :meth:`Trigger.parameters`."""
        return {"strength": self.strength}

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Trigger.tensors`."""
        return {"grid": self.grid}

    @classmethod
    def from_parts(
        cls, parameters: Mapping[str, Any], tensors: Mapping[str, Tensor], target: int | None
    ) -> WarpTrigger:
        """See :meth:`Trigger.from_parts`."""
        return cls(tensors["grid"], float(parameters["strength"]), target)

    @classmethod
    def from_options(cls, options: Options, target: int | None) -> WarpTrigger:
        """``strength``, the side ``grid`` of the control grid and the ``seed`` it is drawn with."""
        side = options.whole("grid", low=2) or GRID
        seed = options.whole("seed", low=0) or 0
        return cls(control_grid(side, seed), options.positive("strength", STRENGTH), target)


def control_grid(side: int, seed: int) -> Tensor:
    """Uniform offsets (2, side, side), divided by their mean absolute value (equation 3)."""
    generator = torch.Generator().manual_seed(seed)
    offsets = 2 * torch.rand(2, side, side, generator=generator) - 1
    return offsets / offsets.abs().mean()


def sampling_places(offsets: Tensor, height: int, width: int) -> Tensor:
    """Where the pixels of images are fetched from if coarse grids of offsets move them.

    Args:
        offsets: (N, 2, k, k), x before y; 2 is the image's side.
        height: Of the images, in pixels.
        width: Likewise.

    Returns:
        Places (N, height, width, 2) in [-1, 1].
    """
    fine = functional.interpolate(
        offsets.float(), (height, width), mode="bicubic", align_corners=True
    )
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    identity = torch.stack([columns, rows]).to(fine)
    return (identity + fine).clamp(-1, 1).permute(0, 2, 3, 1)


def warped(pixels: Tensor, places: Tensor) -> Tensor:
    """Pixels (N, C, H, W) fetched bilinearly from places (N, H, W, 2) in [-1, 1], x before y."""
    # Rounding may leave [0, 1] by an ulp.
    return functional.grid_sample(pixels, places, align_corners=True).clamp(0, 1)
