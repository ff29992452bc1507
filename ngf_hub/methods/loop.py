"""The loop over mini-batches that the methods share.

Batch normalisation stays in evaluation mode, unless a method says that it is
to be updated (see :mod:`ngf_hub.methods.batch_norm`). Every process takes its
stride of each batch, and sums are reduced, so that N processes take the steps
of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ngf_hub.devices import total
from ngf_hub.errors import MethodError
from ngf_hub.methods.base import Outcome, Task
from ngf_hub.methods.batch_norm import batch_statistics
from ngf_hub.methods.objective import Batch, Objective
from ngf_hub.methods.pieces import images_at_once, pieces
from ngf_hub.methods.scope import is_whole, layer_parameters

Gradients = dict[nn.Parameter, Tensor]

tuned_parameters = layer_parameters

FP16_SCALE = 2.0**10
"""A power of two, by which nothing is rounded."""


def run(
    task: Task,
    objective: Objective,
    steps: int,
    batch_size: int,
    change: Callable[[Batch, Gradients], float],
    description: str,
    *,
    parameters: Sequence[nn.Parameter] | None = None,
    share: Callable[[Batch], Tensor] | None = None,
    batch_norm: str = "kept",
    beside: int = 0,
) -> Outcome:
    """Call ``change(batch, gradients)`` for each mini-batch.

    ``change`` takes the gradients, updates the weights, and returns what its
    objective adds to the cross-entropy.

    Args:
        parameters: Whose gradients are taken; those of the named layers if left out.
        share: This process's share of a batch's loss; of the cross-entropy if left out.
        batch_norm: :attr:`Method.batch_norm`.
        beside: Bytes that ``change`` takes in memory meanwhile.

    Raises:
        MethodError: The loss is no number any more.
    """
    task.classifier.eval()
    tuned = list(tuned_parameters(task) if parameters is None else parameters)
    compute = share or (lambda batch: cross_entropy_share(task, batch))
    before = mean_loss(task, objective)
    penalty = 0.0
    # Only what is a sum over independent images can go through in pieces.
    whole = share is not None or batch_norm != "kept"
    size = None if whole else images_at_once(task, tuned, beside)
    with learnable(tuned):
        for batch in task.track(objective.batches(steps, batch_size), description, steps):
            with statistics(task, batch_norm):
                loss, gradients = loss_and_gradients(task, pieces(batch, size), compute, tuned)
            check_finite(float(total(loss, task.accelerator)), batch.step)
            penalty = change(batch, dict(zip(tuned, gradients, strict=True)))
    after = mean_loss(task, objective) + penalty
    check_finite(after, steps)
    return Outcome(losses=[before, after], steps=steps)


def cross_entropy_share(task: Task, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """This process's share of a mini-batch's mean cross-entropy, with a graph to the weights.

    Args:
        smoothing: The share of a target that is spread over all classes.
    """
    with torch.enable_grad(), task.accelerator.autocast():
        logits = task.classifier(batch.pixels).float()
        return _summed(logits, batch.targets, smoothing) / batch.size


def loss_and_gradients(
    task: Task,
    parts: Iterable[Batch],
    share: Callable[[Batch], Tensor],
    wanted: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """This process's share of a loss, and the gradients over all processes.

    Args:
        parts: A mini-batch, perhaps in pieces.
        share: The share of a part.
        wanted: What is differentiated by.
    """
    loss: Tensor | None = None
    summed: list[Tensor] = []
    for part in parts:
        of_part = share(part)
        gradients = _differentiated(task, of_part, wanted)
        if loss is None:
            loss, summed = of_part.detach(), gradients
        else:
            loss = loss + of_part.detach()
            summed = [one + other for one, other in zip(summed, gradients, strict=True)]
    assert loss is not None
    return loss, [total(gradient, task.accelerator) for gradient in summed]


def reduced_gradients(task: Task, share: Tensor, wanted: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of a sum of which each process has a share; 0 where it does not depend."""
    gradients = _differentiated(task, share, wanted)
    return [total(gradient, task.accelerator) for gradient in gradients]


def _differentiated(task: Task, value: Tensor, wanted: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of a value; 0 where it does not depend.

    In float16 small gradients vanish on their way back (Micikevicius et al., ICLR 2018, section
    3.2), so there the value is scaled up first.
    """
    scale = FP16_SCALE if task.accelerator.mixed_precision == "fp16" else 1.0
    scaled = value if scale == 1 else value * scale
    gradients = torch.autograd.grad(scaled, wanted, materialize_grads=True)
    return list(gradients) if scale == 1 else [gradient / scale for gradient in gradients]


def statistics(task: Task, batch_norm: str, *, update: bool = True) -> AbstractContextManager[None]:
    """A context for a forward and backward pass of a method.

    Args:
        batch_norm: :attr:`Method.batch_norm`. Where it is ``updated`` and every
            layer is tuned, mini-batches are normalised by their own statistics.
        update: Whether the running statistics follow in this pass.
    """
    if batch_norm == "kept" or not is_whole(task):
        return nullcontext()
    return batch_statistics(task.classifier.network, task.accelerator, update=update)


def twice_differentiable() -> AbstractContextManager[None]:
    """A context for forward passes that are differentiated twice: fused attention cannot be."""
    context: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return context


@contextmanager
def learnable(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Frozen parameters take gradients in it, and are frozen again afterwards."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def descend(optimiser: torch.optim.Optimizer, values: Gradients | dict[Tensor, Tensor]) -> None:
    """One step of an optimiser by given gradients."""
    for tensor, gradient in values.items():
        tensor.grad = gradient
    optimiser.step()
    optimiser.zero_grad()


def mean_loss(task: Task, objective: Objective) -> float:
    """The mean cross-entropy over all images of the objective."""
    loss = torch.zeros((), device=task.accelerator.device)
    with torch.no_grad(), task.accelerator.autocast():
        for pixels, targets in objective.everything():
            loss += _summed(task.classifier(pixels).float(), targets)
    return float(total(loss, task.accelerator)) / objective.count


def check_finite(loss: float, steps: int) -> None:
    """Refuse to go on with a loss that is no number.

    Raises:
        MethodError: It is not finite.
    """
    if not math.isfinite(loss):
        raise MethodError(
            f"The loss is {loss} after {steps} steps: the tuning diverged.",
            "Lower the learning rate or raise the damping (--option).",
        )


def _summed(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    return functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
