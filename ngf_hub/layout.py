"""The memory layout that convolutions are fastest in at low precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from accelerate import Accelerator

# What classes derived from these do with their weights, such as .view, may need them contiguous.
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@contextmanager
def channels_last(module: nn.Module, accelerator: Accelerator) -> Iterator[None]:
    """Hold the weights of convolutions channels last in the block, in bf16 or fp16.

    No value changes, and afterwards every weight lies in its old storage again, with what
    the block wrote into it. In float32 nothing is done, so that figures stay the same to
    the last bit.

    Args:
        module: The network.
        accelerator: Its precision decides.
    """
    changed = []
    if accelerator.mixed_precision in ("bf16", "fp16"):
        for part in module.modules():
            # A parametrised weight is computed, and none of its own parameters.
            weight = part._parameters.get("weight") if type(part) in CONVOLUTIONS else None
            if weight is not None and weight.is_contiguous():
                changed.append((weight, weight.data))
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for weight, storage in changed:
            if not torch.equal(weight.data, storage):
                storage.copy_(weight.data)
            weight.data = storage
