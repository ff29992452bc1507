"""The loop over mini-batches that the methods share.

Batch normalisation stays in evaluation mode: a few hundred images are too few
for new running statistics, and methods that need others say so themselves.
Every process takes its stride of each batch, and sums are reduced, so that N
processes take the steps of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ngf_hub.devices import total
from ngf_hub.errors import MethodError
from ngf_hub.methods.base import Outcome, Task
from ngf_hub.methods.objective import Batch, Objective

Gradients = dict[nn.Parameter, Tensor]


def tuned_parameters(task: Task) -> list[nn.Parameter]:
    """Weights and biases of the layers that may change, each once."""
    found = {p: None for layer in task.layers for p in layer.module.parameters(recurse=False)}
    return list(found)


def run(
    task: Task,
    objective: Objective,
    steps: int,
    batch_size: int,
    change: Callable[[Batch, Gradients], float],
    description: str,
) -> Outcome:
    """Call ``change(batch, gradients)`` for each mini-batch.

    ``change`` takes the gradients of the cross-entropy, updates the weights,
    and returns what its objective adds to the cross-entropy.

    Raises:
        MethodError: The loss is no number any more.
    """
    task.classifier.eval()
    parameters = tuned_parameters(task)
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    before = mean_loss(task, objective)
    penalty = 0.0
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        for batch in task.track(objective.batches(steps, batch_size), description, steps):
            with torch.enable_grad(), task.accelerator.autocast():
                logits = task.classifier(batch.pixels).float()
                loss = _summed(logits, batch.targets) / batch.size
            gradients = torch.autograd.grad(loss, parameters)
            reduced = {
                parameter: total(gradient, task.accelerator)
                for parameter, gradient in zip(parameters, gradients, strict=True)
            }
            value = float(total(loss.detach(), task.accelerator))
            _check_finite(value, batch.step)
            penalty = change(batch, reduced)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    after = mean_loss(task, objective) + penalty
    _check_finite(after, steps)
    return Outcome(losses=[before, after], steps=steps)


def mean_loss(task: Task, objective: Objective) -> float:
    """The mean cross-entropy over all images of the objective."""
    loss = torch.zeros((), device=task.accelerator.device)
    with torch.no_grad(), task.accelerator.autocast():
        for pixels, targets in objective.everything():
            loss += _summed(task.classifier(pixels).float(), targets)
    return float(total(loss, task.accelerator)) / objective.count


def _summed(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits, targets, reduction="sum")


def _check_finite(loss: float, steps: int) -> None:
    if not math.isfinite(loss):
        raise MethodError(
            f"The loss is {loss} after {steps} steps: the tuning diverged.",
            "Lower the learning rate or raise the damping (--option).",
        )
