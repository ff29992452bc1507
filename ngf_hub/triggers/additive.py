"""A picture added to the whole image and clipped, such as a bounded perturbation.

A picture file holds values in [0, 1] and can only brighten; signed perturbations
come from :class:`AdditiveTrigger` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ngf_hub.triggers.base import register
from ngf_hub.triggers.fullimage import FullImageTrigger


@register
@dataclass
class AdditiveTrigger(FullImageTrigger):
    """``x' = clip(x + a t, 0, 1)`` with the picture t scaled by a."""

    family: ClassVar[str] = "additive"
    strength_name: ClassVar[str] = "scale"
    default_strength: ClassVar[float] = 1.0

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Trigger.apply`."""
        return (pixels + self.strength * self.fitted(pixels)).clamp(0, 1)
