"""A network built from a config that strangers wrote: no larger than its weights can fill.

A config of a few bytes may ask for a billion layers. Constructors allocate first and compare
with the file later, so what they allocate is counted here, and they are stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

from ngf_hub.errors import ModelError

# Constructors draw weights more than once, and keep masks and tables that no file holds.
_FACTOR = 4
_SPARE_VALUES = 1 << 24
_SPARE_MODULES = 2000
_FACTORIES = {
    torch.ops.aten.empty.memory_format: 0,
    torch.ops.aten.empty_strided.default: 0,
    torch.ops.aten.zeros.default: 0,
    torch.ops.aten.ones.default: 0,
    torch.ops.aten.rand.default: 0,
    torch.ops.aten.randn.default: 0,
    torch.ops.aten.full.default: 0,
    torch.ops.aten.expand.default: 1,
}
_LENGTHS = {
    torch.ops.aten.arange.default: (0,),
    torch.ops.aten.arange.start: (1, 0),
    torch.ops.aten.linspace.default: (2,),
}


@contextmanager
def bounded_building(name: str, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Stop a constructor inside the block that makes far more than the weights fill.

    Args:
        name: The model, for messages.
        tensors: The weights that the network is built for.

    Raises:
        ModelError: It does.
    """
    values = _FACTOR * sum(tensor.numel() for tensor in tensors.values()) + _SPARE_VALUES
    counting = _Counting(name, values, _FACTOR * len(tensors) + _SPARE_MODULES)
    hook = register_module_module_registration_hook(counting.module)
    try:
        with counting:
            yield
    finally:
        hook.remove()


class _Counting(TorchDispatchMode):
    """Counts what is allocated, and the modules that are put into others."""

    def __init__(self, name: str, values: int, modules: int) -> None:
        super().__init__()
        self.name = name
        self.values = values
        self.modules = modules

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if (place := _FACTORIES.get(func)) is not None and len(args) > place:
            self.take(math.prod(int(side) for side in args[place]))
        elif (places := _LENGTHS.get(func)) is not None:
            ends = [float(args[place]) for place in places if len(args) > place]
            self.take(int(abs(ends[0] - (ends[1] if len(ends) > 1 else 0.0))))
        return func(*args, **(kwargs or {}))

    def take(self, values: int) -> None:
        """Count values that are about to be allocated."""
        self.values -= max(0, values)
        if self.values < 0:
            raise self.refusal()

    def module(self, module: nn.Module, name: str, child: nn.Module | None) -> None:
        """Count a module."""
        self.modules -= 1
        if self.modules < 0:
            raise self.refusal()

    def refusal(self) -> ModelError:
        """What a user is told."""
        return ModelError(
            f"The config.json of {self.name} means a far larger network than its weights fill.",
            "Use another revision, or mend the repository's config.json.",
        )
