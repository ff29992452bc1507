"""Unlearning of given triggers, with the untouched model as teacher.

A trigger that a scan recovered is put on some of the images, and the model is
tuned to say of them, and of the others, what it said of the clean images:

    L(θ) = c/(1+c) E[H(p(x; θ0), p(x; θ))] + 1/(1+c) E[H(p(x; θ0), p(T(x); θ))]

with the cross-entropy H, the softmax p at a temperature, a trigger T that varies from
image to image, and c clean images for each triggered one. With a radius half of the
triggered images are made worse (:mod:`ngf_hub.methods.worst_case`). Of the way to the weights
that this leads to only a share is gone (:mod:`ngf_hub.methods.interpolation`). No labels are
needed. Wang et al. (Neural Cleanse, IEEE S&P 2019, section VI.C) unlearn one recovered trigger
with labels and by plain gradients; here several are, varied, by natural gradients (K-FAC).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ngf_hub.methods.base import Method, Outcome, Task, option, register
from ngf_hub.methods.cure.layers import promising, rank_layers
from ngf_hub.methods.forget import check_heeded
from ngf_hub.methods.interpolation import SHARE, Start
from ngf_hub.methods.loop import Gradients, run
from ngf_hub.methods.natural_steps import NaturalSteps
from ngf_hub.methods.objective import Batch
from ngf_hub.methods.scope import layer_parameters
from ngf_hub.methods.softening import softened
from ngf_hub.methods.teacher import TeacherObjective
from ngf_hub.methods.variations import Variations

NEAR = 0.0018
"""Root mean square of a worst-case change (half of one of 255 steps a value); chosen, as the
share of the way, on other models or images than those that judge."""


@register
@dataclass
class Unlearning(Method):
    """Natural-gradient (K-FAC) unlearning of triggers; labels are not used.

    Where no layer is named, it tunes those that :func:`promising` names.
    """

    name: ClassVar[str] = "unlearn"
    citation: ClassVar[str] = (
        "Unlearning of triggers after Wang et al., Neural Cleanse, IEEE S&P 2019; "
        "here without labels, of varied triggers, by natural gradients"
    )
    needs_labels: ClassVar[bool] = False
    needs_triggers: ClassVar[bool] = True
    heeds_triggers: ClassVar[bool] = True

    steps: int = option(40, "mini-batch steps", low=1)
    batch_size: int = option(64, "triggered images a step", low=1)
    clean_ratio: int = option(3, "clean images a step for each triggered one", low=1)
    learning_rate: float = option(0.1, "step size η, falling to 0")
    damping: float = option(0.003, "damping λ", low=1e-12)
    momentum: float = option(0.9, "momentum")
    trust_region: float = option(0.1, "largest uᵀg of a step u", low=1e-12)
    temperature: float = option(4.0, "temperature of the softmax that is matched", low=1e-3)
    refresh: int = option(5, "steps between new Kronecker factors", low=1)
    radius: float = option(
        NEAR, "root mean square by which half of the triggered images are moved to the target"
    )
    share: float = option(
        SHARE, "share of the way to the tuned weights that is gone in the end; 1: all of it", high=1
    )
    vary: int = option(1, "1: triggers vary from image to image; 0: they are put on as they are")

    def tune(self, task: Task) -> Outcome:
        """See :meth:`Method.tune`."""
        check_heeded(self, task.triggers)
        chosen = None
        if task.choose:
            chosen = promising(rank_layers(task, task.triggers))
            task = replace(task, layers=[layer for layer in task.layers if layer.name in chosen])
        with softened(task.classifier, self.temperature):
            outcome = self._unlearn(task)
        outcome.layers = chosen
        return outcome

    def _unlearn(self, task: Task) -> Outcome:
        natural = NaturalSteps(
            task,
            steps=self.steps,
            damping=self.damping,
            momentum=self.momentum,
            learning_rate=self.learning_rate,
            trust_region=self.trust_region,
            refresh=self.refresh,
        )
        objective = TeacherObjective(
            task,
            Variations(task.triggers, vary=self.vary > 0),
            clean_ratio=self.clean_ratio,
            radius=self.radius,
            beside=natural.bytes,
        )

        start = Start(layer_parameters(task))

        def change(batch: Batch, gradients: Gradients) -> float:
            natural.see(batch)
            natural.take(batch, gradients)
            if batch.step == self.steps - 1:
                start.approach(self.share)
            return 0.0

        _, before = objective.agreement()
        outcome = run(
            task,
            objective,
            self.steps,
            self.batch_size,
            change,
            "Unlearning triggers",
            beside=natural.bytes,
        )
        # Without the teacher's own entropy, so that they are divergences and fall to 0.
        least = objective.entropy()
        outcome.losses = [loss - least for loss in outcome.losses]
        clean, after = objective.agreement()
        outcome.diagnostics = {
            "fisher": "K-FAC",
            "triggers": [
                {"family": t.family, "target": t.target, "origin": t.origin} for t in task.triggers
            ],
            # Of the tuning images, with the classes that the untouched model says of them clean.
            "agreement_clean": clean,
            "agreement_triggered_before": before,
            "agreement_triggered": after,
        }
        return outcome
