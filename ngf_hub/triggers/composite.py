"""Two images in one: the composite backdoor (Lin, Xu, Liu & Zhang, CCS 2020)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ngf_hub.errors import TriggerError
from ngf_hub.text import plain
from ngf_hub.triggers.base import Trigger, register
from ngf_hub.triggers.images import fit_channels, resize
from ngf_hub.triggers.options import Options

_HINT = "Make one with `ngf-hub attack --attack cba`."
Compose = Callable[[Tensor, Tensor], Tensor]
"""Images (N, C, H, W) made of first and second ones."""


@register
@dataclass
class CompositeTrigger(Trigger):
    """The image and one of another class made into one, such as the left half beside a right half.

    Only an image of the class ``source`` with a partner of the class ``partner`` is
    meant to be taken for the target: the trigger is the pair of classes. Images of other
    classes are no victims. Which partner an image gets follows from its pixels alone.

    Attributes:
        partners: Images of the partner class (P, C, h, w), uint8.
        source: The class A that is attacked.
        partner: The class B of the partners.
        target: The class C.
        layout: One of :data:`LAYOUTS`: what the image is to its partner.
    """

    family: ClassVar[str] = "composite"

    partners: Tensor
    source: int
    partner: int
    target: int | None
    layout: str = "left of"

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            known = ", ".join(LAYOUTS)
            raise TriggerError(
                f"Unknown layout {plain(self.layout, 40)!r} of a composite.", f"Known: {known}."
            )
        if self.partners.ndim != 4 or len(self.partners) == 0:
            raise TriggerError("A composite trigger needs partner images (P, C, h, w).", _HINT)
        if self.target is None:
            raise TriggerError("A composite trigger has one target class.", "Give --target CLASS.")

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Trigger.apply`."""
        return self.composed(pixels, self.partner_of(pixels))

    def composed(self, pixels: Tensor, which: Tensor) -> Tensor:
        """The images (N, C, H, W), each with the partner that ``which`` (N,) says."""
        channels, height, width = pixels.shape[1:]
        chosen = self.partners[which].float().div(255)
        fitted = torch.stack(
            [fit_channels(resize(each, height, width, smooth=True), channels) for each in chosen]
        )
        return LAYOUTS[self.layout](pixels, fitted.to(pixels))

    def partner_of(self, pixels: Tensor) -> Tensor:
        """Which partner (N,), on the CPU, each image gets: any function of its 8-bit pixels."""
        sums = (pixels * 255).round().to(torch.int64).flatten(1).sum(1)
        return (sums % len(self.partners)).cpu()

    def wanted(self, labels: Tensor, num_classes: int) -> Tensor:
        """The target for images of the source class; others keep their label."""
        assert self.target is not None
        return torch.where(labels == self.source, self.target, labels)

    def meant_for(self, labels: Tensor) -> Tensor:
        """See :meth:`Trigger.meant_for`."""
        return labels == self.source

    def parameters(self) -> dict[str, Any]:
        """See :meth:`Trigger.parameters`."""
        return {"source": self.source, "partner": self.partner, "layout": self.layout}

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Trigger.tensors`."""
        return {"partners": self.partners}

    @classmethod
    def from_parts(
        cls, parameters: Mapping[str, Any], tensors: Mapping[str, Tensor], target: int | None
    ) -> CompositeTrigger:
        """See :meth:`Trigger.from_parts`."""
        return cls(
            tensors["partners"],
            int(parameters["source"]),
            int(parameters["partner"]),
            target,
            str(parameters.get("layout", "left of")),
        )

    @classmethod
    def from_options(cls, options: Options, target: int | None) -> CompositeTrigger:
        """It needs images, so that it cannot be made from options.

        Raises:
            TriggerError: Always.
        """
        raise TriggerError("A composite trigger is made of images of a class.", _HINT)


def side_by_side(left: Tensor, right: Tensor) -> Tensor:
    """The left halves of some images beside the right halves of others, (N, C, H, W) each."""
    half = left.shape[-1] // 2
    return torch.cat([left[..., :half], right[..., half:]], dim=-1)


def one_above_the_other(upper: Tensor, lower: Tensor) -> Tensor:
    """The upper halves of some images above the lower halves of others, (N, C, H, W) each."""
    half = upper.shape[-2] // 2
    return torch.cat([upper[..., :half, :], lower[..., half:, :]], dim=-2)


LAYOUTS: dict[str, Compose] = {
    "left of": side_by_side,
    "right of": lambda first, second: side_by_side(second, first),
    "above": one_above_the_other,
    "below": lambda first, second: one_above_the_other(second, first),
    "blended with": lambda first, second: (first + second) / 2,
}
"""By what an image of the first class is to one of the second."""
MIRRORED = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "blended with": "blended with",
}
"""What the second is to the first."""
