"""A horizontal sinusoid added to the whole image: SIG (Barni et al. 2019, arXiv 1902.11237)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ngf_hub.errors import TriggerError
from ngf_hub.triggers.base import Trigger, register
from ngf_hub.triggers.options import Options

AMPLITUDE = 20 / 255
FREQUENCY = 6


@register
@dataclass
class SigTrigger(Trigger):
    """``x' = clip(x + v, 0, 1)`` with ``v(i, j) = amplitude sin(2π j frequency / m)``.

    j is the column and m the width in pixels, as in section 3.1 of the paper.

    Attributes:
        amplitude: The paper's Δ in units of [0, 1], in (0, 1]; the paper tests
            with 20/255 to 60/255.
        frequency: Periods in the width of the image, at least 1; 6 in the paper.
        target: The target class, or ``None`` for all-to-all.
    """

    family: ClassVar[str] = "sig"

    amplitude: float
    frequency: int
    target: int | None

    def __post_init__(self) -> None:
        if not 0 < self.amplitude <= 1 or self.frequency < 1:
            raise TriggerError("A sig trigger needs an amplitude in (0, 1] and a frequency >= 1.")

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Trigger.apply`."""
        width = pixels.shape[-1]
        columns = torch.arange(width, dtype=torch.float64)
        wave = self.amplitude * torch.sin(2 * math.pi * columns * self.frequency / width)
        return (pixels + wave.to(pixels)).clamp(0, 1)

    def parameters(self) -> dict[str, Any]:
        """See :meth:`Trigger.parameters`."""
        return {"amplitude": self.amplitude, "frequency": self.frequency}

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Trigger.tensors`: there are none."""
        return {}

    @classmethod
    def from_parts(
        cls, parameters: Mapping[str, Any], tensors: Mapping[str, Tensor], target: int | None
    ) -> SigTrigger:
        """See :meth:`Trigger.from_parts`."""
        return cls(float(parameters["amplitude"]), int(parameters["frequency"]), target)

    @classmethod
    def from_options(cls, options: Options, target: int | None) -> SigTrigger:
        """``amplitude`` in (0, 1] and ``frequency``."""
        return cls(
            amplitude=options.share("amplitude", AMPLITUDE),
            frequency=options.whole("frequency", low=1) or FREQUENCY,
            target=target,
        )
