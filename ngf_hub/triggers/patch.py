"""A small picture at a place: BadNets (Gu et al. 2017, arXiv 1708.06733)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ngf_hub.errors import TriggerError
from ngf_hub.triggers.base import Trigger, register
from ngf_hub.triggers.images import draw_pattern, fit_channels, read_picture, resize
from ngf_hub.triggers.options import Options

PLACES = ("top-left", "top-right", "bottom-left", "bottom-right", "center")


@register
@dataclass
class PatchTrigger(Trigger):
    """``x' = (1 - m) x + m t`` on the rectangle where the patch lies.

    Attributes:
        pattern: The picture t, (3, h, w) in [0, 1].
        opacity: The mask m, (1, h, w) in [0, 1].
        target: The target class, or ``None`` for all-to-all.
        place: One of :data:`PLACES`, or ``ROWxCOLUMN`` of the upper left pixel.
        margin: Distance in pixels from the edges that ``place`` names.
        reference: The image side that size, place and margin are stated for;
            at other sizes all of them scale. ``None``: they are pixels of
            whatever image comes.
    """

    family: ClassVar[str] = "patch"

    pattern: Tensor
    opacity: Tensor
    target: int | None
    place: str = "bottom-right"
    margin: int = 0
    reference: int | None = None

    def __post_init__(self) -> None:
        if self.pattern.ndim != 3 or self.opacity.shape != (1, *self.pattern.shape[1:]):
            raise TriggerError("A patch needs a picture (3, h, w) and an opacity (1, h, w).")
        if self.margin < 0 or (self.reference is not None and self.reference < 1):
            raise TriggerError("A patch needs margin >= 0 and reference >= 1.")
        self._corner(1, 1, 1, 1, 0)  # an unknown place is told at once

    def _corner(self, height: int, width: int, rows: int, columns: int, margin: int) -> list[int]:
        """Row and column of the upper left pixel of a patch of this size in such an image."""
        if self.place == "center":
            return [(height - rows) // 2, (width - columns) // 2]
        if self.place in PLACES:
            vertical, horizontal = self.place.split("-")
            row = margin if vertical == "top" else height - rows - margin
            column = margin if horizontal == "left" else width - columns - margin
            return [row, column]
        parts = self.place.split("x")
        if len(parts) != 2 or not all(p.isascii() and p.isdecimal() for p in parts):
            known = ", ".join(PLACES)
            raise TriggerError(
                f"Unknown trigger position {self.place!r}.", f"Use {known} or ROWxCOLUMN."
            )
        return [int(part) for part in parts]

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Trigger.apply`."""
        channels, height, width = pixels.shape[1:]
        scale = (height / self.reference, width / self.reference) if self.reference else (1.0, 1.0)
        rows = max(1, round(self.pattern.shape[1] * scale[0]))
        columns = max(1, round(self.pattern.shape[2] * scale[1]))
        if self.place in PLACES:
            row, column = self._corner(
                height, width, rows, columns, round(self.margin * min(scale))
            )
        else:
            corner = self._corner(height, width, rows, columns, 0)
            row, column = (round(c * s) for c, s in zip(corner, scale, strict=True))
        if row < 0 or column < 0 or row + rows > height or column + columns > width:
            raise TriggerError(
                f"A {rows}x{columns} patch at row {row}, column {column} does not fit "
                f"images of {height}x{width}.",
                "Choose another size or position.",
            )
        pattern = fit_channels(resize(self.pattern, rows, columns, smooth=False), channels)
        opacity = resize(self.opacity, rows, columns, smooth=False)
        pattern, opacity = pattern.to(pixels), opacity.to(pixels)
        triggered = pixels.clone()
        window = triggered[:, :, row : row + rows, column : column + columns]
        window.mul_(1 - opacity).add_(opacity * pattern)
        return triggered

    def parameters(self) -> dict[str, Any]:
        """See :meth:`Trigger.parameters`."""
        return {
            "place": self.place,
            "margin": self.margin,
            "reference": self.reference,
            "size": list(self.pattern.shape[1:]),
        }

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Trigger.tensors`."""
        return {"pattern": self.pattern, "opacity": self.opacity}

    @classmethod
    def from_parts(
        cls, parameters: Mapping[str, Any], tensors: Mapping[str, Tensor], target: int | None
    ) -> PatchTrigger:
        """See :meth:`Trigger.from_parts`."""
        reference = parameters["reference"]
        return cls(
            pattern=tensors["pattern"],
            opacity=tensors["opacity"],
            target=target,
            place=str(parameters["place"]),
            margin=int(parameters["margin"]),
            reference=None if reference is None else int(reference),
        )

    @classmethod
    def from_options(cls, options: Options, target: int | None) -> PatchTrigger:
        """``image=FILE | pattern=NAME``, ``size``, ``position``, ``margin``, ``reference``."""
        image, size = options.path("image"), options.whole("size", low=1)
        if image is not None:
            pattern, opacity = read_picture(image)
            if size is not None:
                pattern, opacity = (
                    resize(part, size, size, smooth=False) for part in (pattern, opacity)
                )
        else:
            pattern = draw_pattern(options.text("pattern") or "white", size or 3)
            opacity = torch.ones(1, *pattern.shape[1:])
        return cls(
            pattern=pattern,
            opacity=opacity,
            target=target,
            place=options.text("position") or "bottom-right",
            margin=options.whole("margin", low=0) or 0,
            reference=options.whole("reference", low=1),
        )
