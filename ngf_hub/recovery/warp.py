"""One smooth warping of every image, as WaNet's (Nguyen & Tran 2021, arXiv 2102.10369).

A field on a coarse grid, upsampled bicubically, says from where each pixel is
fetched; the size is the root mean square of the grid's offsets, in shares of the
image's side.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ngf_hub.recovery.bounded import BoundedSpace
from ngf_hub.triggers.warp import WarpTrigger, sampling_places, warped

GRID = 4


class WarpSpace(BoundedSpace):
    """Offsets (K, 2, k, k) of control grids."""

    family: ClassVar[str] = "warp"
    first_radius: ClassVar[float] = 0.03
    largest_radius: ClassVar[float] = 0.06

    @classmethod
    def direction_shape(cls, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """See :meth:`BoundedSpace.direction_shape`: two coordinates of a grid."""
        return (2, GRID, GRID)

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Space.apply`."""
        count = pixels.shape[1]
        # The side is 2 in the coordinates of a sampling grid.
        places = sampling_places(2 * self.change(), *pixels.shape[-2:])
        return warped(pixels.flatten(0, 1), places.repeat_interleave(count, 0)).view(pixels.shape)

    def trigger(self, row: int, target: int | None) -> WarpTrigger:
        """See :meth:`Space.trigger`."""
        direction, radius = (tensor[row].cpu() for tensor in self.kept())
        _, height, width = self.shape
        # WarpTrigger's offsets are in half pixels.
        scale = 2 * torch.tensor([width, height]).view(2, 1, 1)
        return WarpTrigger((scale * radius * direction).detach(), 1.0, target)
