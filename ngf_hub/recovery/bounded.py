"""Changes measured by one norm: the direction is searched on a sphere that shrinks.

The radius falls where the change works and grows where it does not, and each
step goes along the normalised gradient: the decoupling of direction and norm of
Rony et al. (CVPR 2019, arXiv 1811.09600), here for one change of all images.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ngf_hub.recovery.space import Space

if TYPE_CHECKING:
    from ngf_hub.recovery.search import Setting
    from ngf_hub.triggers import Trigger

SHRINK, GROW = 0.1, 0.05
"""By which shares the radius changes a step, at first; half of it at the end."""
STRIDE = 0.4
"""A step's length over the radius, at first; a tenth of it at the end."""
MOMENTUM = 0.7
ALL = 0.99
"""The share of a step's images from which on the radius shrinks."""
MARGIN = 1.5
"""A completed change is so many times the smallest that works."""


class BoundedSpace(Space):
    """Directions (K, ...), their radii (K,), and the momentum of each.

    Attributes:
        first_radius: The radius to start from.
        largest_radius: The largest that is tried.
    """

    first_radius: ClassVar[float]
    largest_radius: ClassVar[float]

    def __init__(self, state: Sequence[Tensor], shape: tuple[int, int, int]) -> None:
        super().__init__(state, shape)
        self.direction, self.radius = self.state
        self.direction.requires_grad_(True)
        self.velocity = torch.zeros_like(self.direction)

    @classmethod
    @abstractmethod
    def direction_shape(cls, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """The shape of one direction."""

    @classmethod
    def start(
        cls, count: int, shape: tuple[int, int, int], generator: torch.Generator
    ) -> list[Tensor]:
        """See :meth:`Space.start`."""
        direction = torch.randn(count, *cls.direction_shape(shape), generator=generator)
        return [normalised(direction), torch.full((count,), cls.first_radius)]

    def change(self) -> Tensor:
        """The changes (K, ...): directions of root mean square 1 times their radii."""
        return self.direction * per_row(self.radius, self.direction)

    def size(self) -> Tensor:
        """See :meth:`Space.size`: the radii."""
        return self.radius.clone()

    @classmethod
    def largest(cls, shape: tuple[int, int, int]) -> float:
        """See :meth:`Space.largest`."""
        return cls.largest_radius

    def complete(self, setting: Setting, target: int) -> list[Trigger]:
        """See :meth:`Space.complete`: the same directions, further."""
        direction, radius = self.kept()
        further = type(self)([direction, radius * MARGIN], self.shape)
        asked = setting.pool.asked(target)
        return [further.trigger(row, asked) for row in range(len(radius))]

    def step(self, losses: Tensor, hits: Tensor, works: Tensor, progress: float) -> None:
        """See :meth:`Space.step`; the radius answers to this step's images alone."""
        works = hits >= ALL
        (gradient,) = torch.autograd.grad(losses.sum(), self.direction)
        stride = STRIDE * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))
        fall, rise = SHRINK * (1 - progress / 2), GROW * (1 - progress / 2)
        with torch.no_grad():
            self.velocity.mul_(MOMENTUM).add_(normalised(gradient), alpha=1 - MOMENTUM)
            moved = self.direction - stride * normalised(self.velocity)
            self.direction.copy_(normalised(moved))
            self.radius.mul_(torch.where(works, 1 - fall, 1 + rise))
            self.radius.clamp_(max=self.largest_radius)


def normalised(rows: Tensor) -> Tensor:
    """Rows (K, ...) scaled to a root mean square of 1; rows of zeros stay."""
    scale = rows.flatten(1).square().mean(1).sqrt().clamp_min(torch.finfo(rows.dtype).tiny)
    return rows / per_row(scale, rows)


def per_row(values: Tensor, rows: Tensor) -> Tensor:
    """Values (K,) shaped to multiply rows (K, ...)."""
    return values.view(-1, *[1] * (rows.ndim - 1))
