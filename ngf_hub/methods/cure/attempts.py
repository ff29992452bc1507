"""One tuning of some layers, and what it reached on images that were held out from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ngf_hub.cure_report import Attempt, pool
from ngf_hub.methods.base import Outcome, Task
from ngf_hub.methods.teacher import softmax_of
from ngf_hub.methods.unlearn import Unlearning
from ngf_hub.outcome import asr_limit
from ngf_hub.report_parts import Rate
from ngf_hub.triggers import Trigger


@dataclass(frozen=True)
class HeldOut:
    """Clean images that do not tune, and what the untouched model says of them.

    Attributes:
        task: The model, which is asked again later, and these images.
        softmax: Its softmax (N, classes), on the CPU.
    """

    task: Task
    softmax: Tensor

    @classmethod
    def of(cls, task: Task) -> HeldOut:
        """Ask the untouched model."""
        return cls(task, softmax_of(task).cpu())

    @property
    def predicted(self) -> Tensor:
        """Classes (N,) by the untouched model."""
        return self.softmax.argmax(1)

    def drop(self, now: Tensor) -> tuple[float, float]:
        """The share of clean accuracy that was lost by saying ``now`` (N,) of the images.

        It is expected by the untouched model's own softmax p: where the class changes
        from a to b, p_a − p_b. Labels, where there are any, would say of so few images
        less: the error of counting hits is several times that of this expectation.

        Returns:
            The share, and its standard error for the choice of the images.
        """
        rows = torch.arange(len(now))
        lost = self.softmax[rows, self.predicted] - self.softmax[rows, now]
        return float(lost.mean()), float(lost.std() / len(now) ** 0.5)

    def attempt(
        self,
        outcome: Outcome,
        layers: Sequence[str],
        kinds: Sequence[str],
        unseen: Mapping[str, Sequence[Trigger]],
        radius: float = 0.0,
    ) -> Attempt:
        """What the model, as it is now, kept and forgot.

        Args:
            outcome: Of the tuning.
            layers: What was tuned.
            kinds: What it was told to forget.
            unseen: By kind, triggers that it was not told of.
            radius: See :class:`Unlearning`.
        """
        now = softmax_of(self.task).cpu().argmax(1)
        drop, error = self.drop(now)
        limit = asr_limit(self.task.classifier.num_classes)
        rates = {kind: self.success(triggers) for kind, triggers in unseen.items()}
        return Attempt(
            layers=list(layers),
            kinds=list(kinds),
            radius=radius,
            steps=outcome.steps,
            success=pool(rates.values()),
            left=[kind for kind, rate in rates.items() if (rate.value or 0.0) > limit],
            kept=Rate(count=int((now == self.predicted).sum()), n=len(now)),
            drop=drop,
            drop_error=error,
        )

    def success(self, triggers: Sequence[Trigger]) -> Rate:
        """ASR over all of some triggers together, of images not taken for the target before."""
        hits = images = 0
        for trigger in triggers:
            wanted = trigger.wanted(self.predicted, self.task.classifier.num_classes)
            said = softmax_of(self.task, trigger).cpu().argmax(1)
            victims = wanted.ne(self.predicted)
            hits += int((victims & said.eq(wanted)).sum())
            images += int(victims.sum())
        return Rate(count=hits, n=images)


def tune(
    task: Task, names: Sequence[str], triggers: Sequence[Trigger], steps: int, radius: float = 0.0
) -> Outcome:
    """Let the named layers, all of them, forget some triggers.

    Args:
        radius: See :class:`Unlearning`.

    Raises:
        MethodError: It diverged.
    """
    chosen = [layer for layer in task.layers if layer.name in names]
    return Unlearning(steps=steps, radius=radius).tune(
        # Told to choose, it would choose among these again and leave some as they are.
        replace(task, layers=chosen, triggers=tuple(triggers), choose=False)
    )
