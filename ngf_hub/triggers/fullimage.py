"""What triggers that cover the whole image share: one picture, fitted to the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from ngf_hub.errors import TriggerError
from ngf_hub.triggers.base import Trigger
from ngf_hub.triggers.images import draw_pattern, fit_channels, read_picture, resize
from ngf_hub.triggers.options import Options

BUILT_IN_SIDE = 32
Own = TypeVar("Own", bound="FullImageTrigger")


@dataclass
class FullImageTrigger(Trigger):
    """A picture of the whole image and a strength.

    Attributes:
        picture: (3, h, w); bilinearly resized to the images' size.
        strength: In (0, 1].
        target: The target class, or ``None`` for all-to-all.
    """

    strength_name: ClassVar[str]
    default_strength: ClassVar[float]

    picture: Tensor
    strength: float
    target: int | None

    def __post_init__(self) -> None:
        if self.picture.ndim != 3 or not 0 < self.strength <= 1:
            raise TriggerError(
                f"A {self.family} trigger needs a picture (3, h, w) and "
                f"a {self.strength_name} in (0, 1]."
            )

    def fitted(self, pixels: Tensor) -> Tensor:
        """The picture (C, H, W) in the size, type and place of ``pixels``."""
        channels, height, width = pixels.shape[1:]
        return fit_channels(resize(self.picture, height, width, smooth=True), channels).to(pixels)

    def parameters(self) -> dict[str, Any]:
        """See :meth:`Trigger.parameters`."""
        return {self.strength_name: self.strength}

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Trigger.tensors`."""
        return {"picture": self.picture}

    @classmethod
    def from_parts(
        cls: type[Own],
        parameters: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        target: int | None,
    ) -> Own:
        """See :meth:`Trigger.from_parts`."""
        return cls(tensors["picture"], float(parameters[cls.strength_name]), target)

    @classmethod
    def from_options(cls: type[Own], options: Options, target: int | None) -> Own:
        """``image=FILE | pattern=NAME`` and the strength under the family's own name."""
        image = options.path("image")
        if image is not None:
            picture, _ = read_picture(image)
        else:
            picture = draw_pattern(options.text("pattern") or "noise", BUILT_IN_SIDE)
        return cls(picture, options.share(cls.strength_name, cls.default_strength), target)
