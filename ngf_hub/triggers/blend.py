"""A picture mixed into the whole image: Blend (Chen et al. 2017, arXiv 1712.05526)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ngf_hub.triggers.base import register
from ngf_hub.triggers.fullimage import FullImageTrigger


@register
@dataclass
class BlendTrigger(FullImageTrigger):
    """``x' = (1 - a) x + a t`` with the blend ratio a (section 5.1 of the paper; 0.2 there)."""

    family: ClassVar[str] = "blend"
    strength_name: ClassVar[str] = "ratio"
    default_strength: ClassVar[float] = 0.2

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Trigger.apply`."""
        return pixels.lerp(self.fitted(pixels), self.strength)
