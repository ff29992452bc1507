"""Triggered images made worse: each is moved towards the class that its trigger leads to.

What a search recovers lies near the attacker's trigger and is not the same, and a model
that unlearns the one may still answer to what lies between them. So some triggered images
T(x) are moved on by one step of the length that is allowed, each by its own gradient,

    x' = T(x) − r √D g/‖g‖₂,    g = ∇ H(y_T, f_θ(T(x))),

with the class y_T that the trigger leads to, the D values of an image and the model as it
is at that step. The inner maximisation is that of Zeng et al. (I-BAU, ICLR 2022, equation 1)
and Wei et al. (SAU, NeurIPS 2023), taken sample by sample, around recovered triggers in the
place of clean images, and towards one class: away from the class that the model says of the
clean image it did not help (``benchmarks/README.md``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ngf_hub.methods.base import Task


def worst_case(task: Task, pixels: Tensor, wanted: Tensor, radius: float, size: int) -> Tensor:
    """The images, each moved towards a class.

    Args:
        task: The model as it is now, in evaluation mode, so that images do not mix.
        pixels: (n, C, H, W) in [0, 1]; they are not changed.
        wanted: The classes (n,).
        radius: The root mean square r of a value's change.
        size: Images a pass.

    Returns:
        (n, C, H, W) in [0, 1]; an image without a gradient stays as it is.
    """
    return torch.cat(
        [
            _moved(task, some, classes, radius)
            for some, classes in zip(pixels.split(size), wanted.split(size), strict=True)
        ]
    )


def _moved(task: Task, pixels: Tensor, wanted: Tensor, radius: float) -> Tensor:
    start = pixels.detach().requires_grad_(True)
    with torch.enable_grad():
        with task.accelerator.autocast():
            logits = task.classifier(start).float()
        loss = functional.cross_entropy(logits, wanted, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, start)
    longest = radius * start.shape[1:].numel() ** 0.5
    lengths = gradient.flatten(1).norm(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    step = gradient * (longest / lengths).view(-1, 1, 1, 1)
    moved: Tensor = (start.detach() - step).clamp(0, 1)
    return moved
