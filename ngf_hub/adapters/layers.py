"""The layers that can be tuned, in the order in which they run.

Order and use come from one forward pass with hooks: modules that never run are
left out, and depth is the order of execution, not of definition.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from ngf_hub.adapters.trace import evaluating
from ngf_hub.errors import ModelError

if TYPE_CHECKING:
    from ngf_hub.adapters.base import Classifier

Kind = Literal["linear", "conv2d", "grouped conv2d"]


@dataclass(frozen=True)
class Layer:
    """One Linear or Conv2d layer.

    Attributes:
        name: The module's name in the network.
        module: The layer itself.
        kind: ``linear``, ``conv2d`` or ``grouped conv2d``.
        shape: The shape of its weight.
        parameters: How many numbers weight and bias hold.
        depth: Its place in the order of first execution, from 0.
        is_head: Whether it is (part of) the head.
        aliases: Further names of the same weight.
    """

    name: str
    module: nn.Linear | nn.Conv2d
    kind: Kind
    shape: tuple[int, ...]
    parameters: int
    depth: int
    is_head: bool
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return (self.name, *self.aliases)


def _kind(module: nn.Linear | nn.Conv2d) -> Kind:
    if isinstance(module, nn.Linear):
        return "linear"
    return "conv2d" if module.groups == 1 else "grouped conv2d"


def find_layers(classifier: Classifier) -> list[Layer]:
    """The Linear and Conv2d layers that run, in the order in which they first do."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in classifier.network.named_modules(remove_duplicate=False):
        if isinstance(module, nn.Linear | nn.Conv2d):
            names.setdefault(module, []).append(name)
    order: dict[nn.Module, None] = {}

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        order.setdefault(module)

    handles = [module.register_forward_pre_hook(note) for module in names]
    try:
        with evaluating(classifier), torch.no_grad():
            classifier(classifier.example_pixels(1))
    finally:
        for handle in handles:
            handle.remove()
    try:
        head = set(map(id, classifier.head.parameters()))
    except ModelError:
        head = set()
    # Two modules may hold one weight: tuning it once tunes both.
    by_weight: dict[int, list[nn.Linear | nn.Conv2d]] = {}
    for module in order:
        assert isinstance(module, nn.Linear | nn.Conv2d)
        by_weight.setdefault(id(module.weight), []).append(module)
    layers = []
    for depth, modules in enumerate(by_weight.values()):
        first = modules[0]
        name, *aliases = [name for module in modules for name in names[module]]
        layers.append(
            Layer(
                name=name,
                module=first,
                kind=_kind(first),
                shape=tuple(first.weight.shape),
                parameters=sum(p.numel() for p in first.parameters(recurse=False)),
                depth=depth,
                is_head=id(first.weight) in head,
                aliases=tuple(aliases),
            )
        )
    return layers


def select_layers(classifier: Classifier, pattern: str) -> list[Layer]:
    """The layers that a pattern names, in the order of execution.

    Args:
        classifier: The model.
        pattern: ``head`` for the head that was found, or the name of a layer,
            or a glob over names such as ``layer4.*``.

    Raises:
        ModelError: Nothing matches; it lists the names that come close.
    """
    layers = classifier.layers
    if pattern == "head":
        head = classifier.head  # says why, if there is none
        found = [layer for layer in layers if layer.is_head]
        if len(found) < len(head.modules):
            raise ModelError(
                f"The head's weight ({', '.join(head.names)}) is computed from other parameters.",
                "Remove the weight normalisation first, or name an inner layer with --layer.",
            )
        return found
    exact = [layer for layer in layers if pattern in layer.names]
    if exact:
        return exact
    matching = [
        layer for layer in layers if any(fnmatchcase(name, pattern) for name in layer.names)
    ]
    if matching:
        return matching
    names = [name for layer in layers for name in layer.names]
    if any(name.startswith(f"{pattern}.") for name in names):
        hint = f"It holds several: say '{pattern}.*' for all of them."
    else:
        close = difflib.get_close_matches(pattern, names, n=4, cutoff=0.4)
        hint = f"Close: {', '.join(close)}. " if close else ""
        hint += "`ngf-hub layers` lists them all."
    raise ModelError(f"No layer of {classifier.architecture} is called {pattern!r}.", hint)
