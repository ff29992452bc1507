"""Between the weights from before and those that a tuning reached.

Clean accuracy is lost with the square of the way from the original weights where they are at
an optimum, and a backdoor that is forgotten with some to spare needs not all of the way:
so a share of it loses less, and forgets as much. Interpolating the weights of a model from
before and after its fine-tuning is Wortsman et al.'s (WiSE-FT, CVPR 2022, arXiv 2109.01903,
equation 1), who do it to keep accuracy on other distributions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

SHARE = 0.8
"""How much of the way an unlearning goes; chosen on other models or images than those that
judge."""


class Start:
    """Where a tuning starts, to go back towards it.

    Args:
        parameters: What is tuned; its present values are copied.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._values = [(parameter, parameter.detach().clone()) for parameter in parameters]

    @torch.no_grad()
    def approach(self, share: float) -> None:
        """Put the parameters at θ0 + α (θ − θ0).

        Args:
            share: α in [0, 1]: 0 is the start, 1 changes nothing.
        """
        for parameter, value in self._values:
            parameter.lerp_(value, 1 - share)
