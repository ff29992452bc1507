"""The loop over mini-batches that the methods share.

Batch normalisation stays in evaluation mode: a few hundred images are too few
for new running statistics, and methods that need others say so themselves.
Every process takes its stride of each batch, and sums are reduced, so that N
processes take the steps of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ngf_hub.devices import shard, total
from ngf_hub.errors import MethodError
from ngf_hub.evaluation import check_labels
from ngf_hub.methods.base import Outcome, Task

Gradients = dict[nn.Parameter, Tensor]


@dataclass(frozen=True)
class Batch:
    """This process's share of a mini-batch.

    Attributes:
        step: Counts from 0.
        pixels: (n, C, H, W) in [0, 1].
        labels: (n,).
        size: Images of the whole batch, over all processes.
    """

    step: int
    pixels: Tensor
    labels: Tensor
    size: int


def tuned_parameters(task: Task) -> list[nn.Parameter]:
    """Weights and biases of the layers that may change, each once."""
    found = {p: None for layer in task.layers for p in layer.module.parameters(recurse=False)}
    return list(found)


def batches(task: Task, steps: int, batch_size: int) -> Iterator[Batch]:
    """As many mini-batches as steps; every image once an epoch, in an order drawn by the seed."""
    check_labels(task.pixels, task.classifier.num_classes)
    generator = torch.Generator().manual_seed(task.seed)
    batch_size = min(batch_size, len(task.pixels))
    waiting: list[int] = []
    for step in range(steps):
        if len(waiting) < batch_size:
            waiting = torch.randperm(len(task.pixels), generator=generator).tolist()
        chosen, waiting = waiting[:batch_size], waiting[batch_size:]
        mine = [chosen[i] for i in shard(len(chosen), task.accelerator)]
        device = task.accelerator.device
        # A process without a share still gets a batch, of no images: the others wait for its sums.
        for pixels, labels, _ in task.pixels.batches(max(1, len(mine)), device, mine):
            yield Batch(step, pixels, labels, len(chosen))


def run(
    task: Task,
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
    before = mean_loss(task)
    penalty = 0.0
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        for batch in task.track(batches(task, steps, batch_size), description, steps):
            with torch.enable_grad(), task.accelerator.autocast():
                logits = task.classifier(batch.pixels).float()
                loss = functional.cross_entropy(logits, batch.labels, reduction="sum") / batch.size
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
    after = mean_loss(task) + penalty
    _check_finite(after, steps)
    return Outcome(losses=[before, after], steps=steps)


def _check_finite(loss: float, steps: int) -> None:
    if not math.isfinite(loss):
        raise MethodError(
            f"The loss is {loss} after {steps} steps: the tuning diverged.",
            "Lower the learning rate or raise the damping (--option).",
        )


def mean_loss(task: Task) -> float:
    """The mean cross-entropy over all tuning images."""
    labels = check_labels(task.pixels, task.classifier.num_classes)
    accelerator = task.accelerator
    mine = shard(len(labels), accelerator)
    loss = torch.zeros((), device=accelerator.device)
    with torch.no_grad(), accelerator.autocast():
        for pixels, truth, _ in task.pixels.batches(task.batch_size, accelerator.device, mine):
            logits = task.classifier(pixels).float()
            loss += functional.cross_entropy(logits, truth, reduction="sum")
    return float(total(loss, accelerator)) / len(labels)
