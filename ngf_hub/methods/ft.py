"""Plain fine-tuning on clean images: the baseline that every defence is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ngf_hub.methods.base import Method, Outcome, Task, option, register
from ngf_hub.methods.loop import Gradients, run, tuned_parameters
from ngf_hub.methods.objective import Batch, Labelled


@register
@dataclass
class FineTuning(Method):
    """Cross-entropy by SGD with momentum on the chosen layers."""

    name: ClassVar[str] = "ft"
    citation: ClassVar[str] = "Fine-tuning, as in Liu et al., Fine-Pruning, arXiv 1805.12185"

    steps: int = option(100, "mini-batch steps", low=1)
    batch_size: int = option(64, "images a step", low=1)
    learning_rate: float = option(0.01, "step size")
    momentum: float = option(0.9, "momentum")
    weight_decay: float = option(0.0, "L2 penalty")

    def tune(self, task: Task) -> Outcome:
        """See :meth:`Method.tune`."""
        optimiser = torch.optim.SGD(
            tuned_parameters(task),
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

        def change(batch: Batch, gradients: Gradients) -> float:
            for parameter, gradient in gradients.items():
                parameter.grad = gradient
            optimiser.step()
            optimiser.zero_grad()
            return 0.0

        return run(task, Labelled(task), self.steps, self.batch_size, change, "Fine-tuning")
