"""One perturbation added to every image: blended, sinusoidal and other full-image triggers.

x' = clip(x + δ, 0, 1); the size is the root mean square of δ over the pixels. A
universal perturbation (Moosavi-Dezfooli et al., CVPR 2017) that leads to one class.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ngf_hub.recovery.bounded import BoundedSpace
from ngf_hub.triggers.additive import AdditiveTrigger


class AdditiveSpace(BoundedSpace):
    """Perturbations δ of K classes."""

    family: ClassVar[str] = "additive"
    first_radius: ClassVar[float] = 0.06
    largest_radius: ClassVar[float] = 0.25

    @classmethod
    def direction_shape(cls, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """See :meth:`BoundedSpace.direction_shape`: that of an image."""
        return shape

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Space.apply`."""
        return (pixels + self.change()[:, None]).clamp(0, 1)

    def trigger(self, row: int, target: int | None) -> AdditiveTrigger:
        """See :meth:`Space.trigger`."""
        direction, radius = (tensor[row].cpu() for tensor in self.kept())
        picture = (direction * radius).detach()
        return AdditiveTrigger(picture.expand(3, -1, -1).clone(), 1.0, target)
