"""Mini-batches that outgrow memory, in pieces.

A forward pass that is to be differentiated keeps what every layer needs for it: at 224 pixels
hundreds of megabytes an image for a large transformer. The gradients of sums over images are
sums, so a batch can go through in pieces; one that fits goes through whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ngf_hub.methods.objective import Batch
from ngf_hub.spilling import memory_bound

if TYPE_CHECKING:
    from ngf_hub.methods.base import Task

SHARE = 0.6
"""Of the free memory, what a differentiated pass may keep: its gradients need room too."""


def images_at_once(task: Task, parameters: Sequence[nn.Parameter], beside: int = 0) -> int:
    """How many images a pass may hold that is differentiated with respect to some parameters.

    One image goes forward, and what is kept of it is counted.

    Args:
        task: The model, on its device.
        parameters: They require gradients.
        beside: Bytes that will be taken meanwhile, by curvature say.
    """
    bound = memory_bound(task.accelerator.device, SHARE, beside)
    return max(1, bound // max(1, _kept_bytes(task, parameters)))


def _kept_bytes(task: Task, parameters: Sequence[nn.Parameter]) -> int:
    """Bytes that a forward pass of one image keeps for the backward pass."""
    own = {p.untyped_storage().data_ptr() for p in task.classifier.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    asked = [(p, p.requires_grad) for p in parameters]
    pixels = task.classifier.example_pixels(1)
    try:
        for parameter, _ in asked:
            parameter.requires_grad_(True)
        with (
            torch.enable_grad(),
            task.accelerator.autocast(),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            logits = task.classifier(pixels)
        del logits
    finally:
        for parameter, wanted in asked:
            parameter.requires_grad_(wanted)
    return sum(kept.values())


def pieces(batch: Batch, size: int | None) -> Iterator[Batch]:
    """A mini-batch in parts of at most ``size`` images; each counts as a share of the whole."""
    count = len(batch.pixels)
    if size is None or count <= size:
        yield batch
        return
    for start in range(0, count, size):
        part = slice(start, start + size)
        yield replace(
            batch,
            pixels=batch.pixels[part],
            targets=batch.targets[part],
            rows=batch.rows[part],
        )
