"""Plain fine-tuning on clean images: the baseline that every defence is compared with.

Settings are those of the fine-tuning that FT-SAM's authors compare with (Zhu et al., ICCV
2023, arXiv 2304.11823): SGD with momentum 0.9, a step size of 0.01 that falls as a cosine,
weight decay 5e-4, 100 epochs, which are 400 batches of 128 of 500 images. Where the whole
network is tuned, batch normalisation trains and its running statistics follow: with those
from before, this step size can ruin a network.

What differs: steps are counted and not epochs, images are shifted but not mirrored unless
asked to, and dropout stays off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ngf_hub.methods import augmentation
from ngf_hub.methods.base import Method, Outcome, Task, option, register
from ngf_hub.methods.loop import Gradients, descend, run
from ngf_hub.methods.objective import Batch, Labelled
from ngf_hub.methods.scope import parameters


@register
@dataclass
class FineTuning(Method):
    """Cross-entropy by SGD with momentum on the chosen layers."""

    name: ClassVar[str] = "ft"
    citation: ClassVar[str] = "Fine-tuning, as in Liu et al., Fine-Pruning, arXiv 1805.12185"
    batch_norm: ClassVar[Literal["kept", "updated"]] = "updated"

    steps: int = option(400, "mini-batch steps", low=1)
    batch_size: int = option(128, "images a step", low=1)
    learning_rate: float = option(0.01, "first step size, falling to 0 as a cosine")
    momentum: float = option(0.9, "momentum")
    weight_decay: float = option(5e-4, "L2 penalty")
    augment: int = option(augmentation.SHIFTS, augmentation.HELP)

    def tune(self, task: Task) -> Outcome:
        """See :meth:`Method.tune`."""
        tuned = parameters(task)
        optimiser = torch.optim.SGD(
            tuned, self.learning_rate, self.momentum, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)

        def change(batch: Batch, gradients: Gradients) -> float:
            descend(optimiser, gradients)
            schedule.step()
            return 0.0

        return run(
            task,
            Labelled(task, self.augment),
            self.steps,
            self.batch_size,
            change,
            "Fine-tuning",
            parameters=tuned,
            batch_norm=self.batch_norm,
        )
