"""Natural Gradient Fine-tuning (Karim et al., arXiv 2306.17441).

Tuned is the cross-entropy on clean images with a pull towards the weights from
before, weighted by the diagonal of their Fisher information matrix F(θ0):

    L(θ) = cross-entropy + (η_r/2) Σᵢ diag(F(θ0))ᵢ (θᵢ − θ0ᵢ)²
    θ ← θ − η (F(θ) + λI)⁻¹ ∇L(θ)

On the head alone (the paper's choice) the backbone runs once, its features are
kept, and F is exact. On other layers F is Kronecker-factored (K-FAC), and the
steps are taken on mini-batches with all activations recomputed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ngf_hub.curvature import HeadStep, natural_gradient_head
from ngf_hub.devices import shard, total
from ngf_hub.evaluation import check_labels
from ngf_hub.methods.base import Method, Outcome, Task, option, register
from ngf_hub.methods.loop import Gradients, run, tuned_parameters
from ngf_hub.methods.natural_steps import NaturalSteps
from ngf_hub.methods.objective import Batch, Labelled
from ngf_hub.spilling import memory_bound, room

# Those that have an effect on the head; the others belong to mini-batches and K-FAC.
HEAD_OPTIONS = ("pull", "damping", "steps", "learning_rate")


@register
@dataclass
class NaturalGradient(Method):
    """Natural Gradient Fine-tuning: exact on the head, K-FAC on other layers."""

    name: ClassVar[str] = "ngf"
    citation: ClassVar[str] = (
        "Karim et al., Efficient Backdoor Removal Through Natural Gradient Fine-tuning, "
        "arXiv 2306.17441"
    )
    default_layer: ClassVar[str] = "head"

    pull: float = option(0.1, "weight η_r of the pull towards the weights from before")
    damping: float = option(0.0, "damping λ; 0: 0.001 (its lowest) on the head, 0.1 on others")
    steps: int = option(0, "the most steps; 0: 20 on the head, 100 on others")
    learning_rate: float = option(0.0, "step size η; 0: 1 on the head, on others 0.1 falling to 0")
    batch_size: int = option(64, "images a step, on other layers than the head", low=1)
    momentum: float = option(0.9, "momentum, likewise")
    trust_region: float = option(0.1, "largest uᵀg of a step u, likewise", low=1e-12)
    refresh: int = option(5, "steps between new Kronecker factors, likewise", low=1)

    def tune(self, task: Task) -> Outcome:
        """See :meth:`Method.tune`."""
        chosen = {layer.module for layer in task.layers}
        if all(layer.is_head for layer in task.layers) and chosen == set(
            task.classifier.head.modules
        ):
            return self._tune_head(task)
        return self._tune_inner(task)

    def _filled(self, *, damping: float, steps: int, learning_rate: float) -> NaturalGradient:
        """The options with the defaults that depend on the layers."""
        return replace(
            self,
            damping=self.damping or damping,
            steps=self.steps or steps,
            learning_rate=self.learning_rate or learning_rate,
        )

    def _tune_head(self, task: Task) -> Outcome:
        labels = check_labels(task.pixels, task.classifier.num_classes)
        head, accelerator = task.classifier.head, task.accelerator
        mine = shard(len(task.pixels), accelerator)
        used = self._filled(damping=1e-3, steps=20, learning_rate=1.0)
        features = compute_features(task, mine)
        device = features.device  # the CPU, where they outgrew a GPU
        fit = natural_gradient_head(
            features,
            labels[list(mine)].to(device),
            head.matrix().float().to(device),
            steps=used.steps,
            damping=used.damping,
            pull=used.pull,
            rate=used.learning_rate,
            n_total=len(task.pixels),
            reduce=lambda share: total(share.to(accelerator.device), accelerator).to(device),
            callback=_shown(task),
        )
        head.load_matrix(fit.weights.to(accelerator.device))
        return Outcome(
            losses=[float(loss) for loss in fit.losses],
            steps=len(fit.steps),
            options={name: getattr(used, name) for name in HEAD_OPTIONS},
            diagnostics={
                "fisher": "exact",
                "stopped": fit.stopped,
                "cg_iterations": fit.cg_iterations,
                "damping": [step.damping for step in fit.steps],
                "gradient_norm": [step.gradient_norm for step in fit.steps],
            },
        )

    def _tune_inner(self, task: Task) -> Outcome:
        used = self._filled(damping=0.1, steps=100, learning_rate=0.1)
        natural = NaturalSteps(
            task,
            steps=used.steps,
            damping=used.damping,
            momentum=used.momentum,
            learning_rate=used.learning_rate,
            trust_region=used.trust_region,
            refresh=used.refresh,
        )
        anchor = {p: p.detach().clone() for p in tuned_parameters(task)}
        diagonal: dict[torch.nn.Parameter, Tensor] = {}

        def change(batch: Batch, gradients: Gradients) -> float:
            natural.see(batch)
            if not diagonal:
                diagonal.update(natural.diagonal())
            penalty = 0.0
            for parameter, gradient in gradients.items():
                away = parameter.detach() - anchor[parameter]
                pulled = self.pull * diagonal[parameter] * away
                gradient += pulled
                penalty += 0.5 * float((pulled * away).sum())
            natural.take(batch, gradients)
            return penalty

        title = "Natural gradient (K-FAC)"
        outcome = run(
            task,
            Labelled(task),
            used.steps,
            used.batch_size,
            change,
            title,
            beside=natural.bytes,
        )
        outcome.options = used.options()
        outcome.diagnostics["fisher"] = "K-FAC"
        return outcome


def compute_features(task: Task, indices: range) -> Tensor:
    """Head inputs (n, D) of some of the tuning images, by one forward pass over them.

    They lie on the device, or in a temporary file where they outgrow what
    :func:`ngf_hub.spilling.memory_bound` gives them.
    """
    classifier, device = task.classifier, task.accelerator.device
    shape, bound = (len(indices), classifier.head.width), memory_bound(device)
    if 4 * math.prod(shape) <= bound:
        features = torch.empty(shape, device=device)
    else:
        features = room(shape, torch.float32, "features", min(bound, memory_bound()))
    batches = task.pixels.batches(task.batch_size, device, indices=indices)
    count = -(-len(indices) // task.batch_size)
    start = 0
    classifier.eval()
    with torch.no_grad(), task.accelerator.autocast():
        for pixels, _, _ in task.track(batches, "Computing features", count):
            features[start : start + len(pixels)] = classifier.features(pixels)
            start += len(pixels)
    return features


def _shown(task: Task) -> Callable[[HeadStep, Tensor], None]:
    """A callback that shows how many steps were taken; it ends before them all if it converges."""
    bar = iter(task.track(itertools.count(1), "Natural gradient on the head"))

    def show(step: HeadStep, weights: Tensor) -> None:
        next(bar)

    return show
