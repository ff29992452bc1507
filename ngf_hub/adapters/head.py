"""The head: the final classification layer or layers, as one softmax regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ngf_hub.adapters.trace import (
    INNER_LAYERS_HINT,
    HeadCall,
    evaluating,
    trace_head,
)
from ngf_hub.errors import ModelError

if TYPE_CHECKING:
    from ngf_hub.adapters.base import Classifier


@dataclass(frozen=True)
class HeadBranch:
    """One matrix of the head and the calls that use it.

    Attributes:
        name: The module's name in the network.
        module: The Linear or 1x1 Conv2d that holds weight and bias.
        calls: Where it (or a module that shares its weights) enters the logits.
    """

    name: str
    module: nn.Linear | nn.Conv2d
    calls: tuple[HeadCall, ...]

    @property
    def width(self) -> int:
        """The number of columns: input features, and one for the bias if there is one."""
        return self.module.weight[0].numel() + (self.module.bias is not None)

    def matrix(self) -> Tensor:
        """Weight and bias as one matrix (C, width)."""
        weight = self.module.weight.detach().flatten(1)
        if self.module.bias is None:
            return weight.clone()
        return torch.cat([weight, self.module.bias.detach()[:, None]], dim=1)

    def load_matrix(self, matrix: Tensor) -> None:
        """Write a matrix (C, width) back into weight and bias."""
        weight, bias = self.module.weight, self.module.bias
        features = weight[0].numel()
        with torch.no_grad():
            weight.copy_(matrix[:, :features].reshape(weight.shape))
            if bias is not None:
                bias.copy_(matrix[:, features])

    def features(self, captured: dict[nn.Module, list[Tensor]], count: int) -> Tensor:
        """The rows (N, width) that times :meth:`matrix` give this branch's logits."""
        pooled = sum(call.pool(captured[call.module][call.index], count) for call in self.calls)
        assert isinstance(pooled, Tensor)
        if self.module.bias is None:
            return pooled
        constant = sum(float(call.weights.double().sum()) for call in self.calls)
        return torch.cat([pooled, pooled.new_full((count, 1), constant)], dim=1)


@dataclass(frozen=True)
class Head:
    """The final classification layer or layers, as one softmax regression.

    ``features @ head.matrix().T == logits``. How the branches are averaged and
    pooled is folded into the features, so that the matrix holds the raw
    weights and biases: C rows, and for each branch its input features and one
    more column for its bias.
    """

    branches: tuple[HeadBranch, ...]

    @property
    def names(self) -> list[str]:
        """The names of the head's modules."""
        return [branch.name for branch in self.branches]

    @property
    def modules(self) -> list[nn.Linear | nn.Conv2d]:
        """The modules that hold the head's weights."""
        return [branch.module for branch in self.branches]

    @property
    def num_classes(self) -> int:
        """The number C of classes."""
        return self.branches[0].module.weight.shape[0]

    @property
    def width(self) -> int:
        """The number D of columns of :meth:`matrix`, biases included."""
        return sum(branch.width for branch in self.branches)

    def parameters(self) -> list[nn.Parameter]:
        """The weights and biases."""
        found: list[nn.Parameter] = []
        for module in self.modules:
            found += module.parameters(recurse=False)
        return found

    def matrix(self) -> Tensor:
        """All weights and biases (C, D), a copy."""
        return torch.cat([branch.matrix() for branch in self.branches], dim=1)

    def load_matrix(self, matrix: Tensor) -> None:
        """Write a matrix (C, D) into the head's modules, in place.

        Raises:
            ValueError: The shape is another.
        """
        if matrix.shape != (self.num_classes, self.width):
            expected = (self.num_classes, self.width)
            raise ValueError(f"The head takes a matrix {expected}, not {tuple(matrix.shape)}.")
        parts = matrix.split([branch.width for branch in self.branches], dim=1)
        for branch, part in zip(self.branches, parts, strict=True):
            branch.load_matrix(part)

    def features(self, classifier: Classifier, pixels: Tensor) -> Tensor:
        """Float32 features (N, D) of pixels (N, channels, H, W), by one forward pass."""
        return self.features_and_logits(classifier, pixels)[0]

    def features_and_logits(self, classifier: Classifier, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D) and logits (N, C) of the same forward pass."""
        captured: dict[nn.Module, list[Tensor]] = {}

        def capture(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            captured.setdefault(module, []).append(args[0] if args else kwargs["input"])

        called = {call.module for branch in self.branches for call in branch.calls}
        handles = [module.register_forward_pre_hook(capture, with_kwargs=True) for module in called]
        try:
            logits = classifier(pixels)
        finally:
            for handle in handles:
                handle.remove()
        features = [branch.features(captured, len(pixels)) for branch in self.branches]
        return torch.cat(features, dim=1), logits


def find_head(classifier: Classifier) -> Head:
    """The head of a classifier, by tracing.

    Raises:
        ModelError: The logits are no linear function of any layer's outputs.
    """
    # The caller may be in inference mode, in which nothing can be traced.
    with torch.inference_mode(False), evaluating(classifier):
        pixels = classifier.example_pixels(2)
        calls = trace_head(classifier, pixels, classifier.num_classes)
        head = _assemble(classifier, calls)
        with torch.no_grad():
            features, logits = head.features_and_logits(classifier, pixels)
            matrix = head.matrix().float()
            error = (features @ matrix.T - logits).abs().max()
            # What rounding can amount to, also in the TensorFloat-32 of a GPU.
            rounding = 1e-3 * (features.abs() @ matrix.abs().T).max()
    # Nothing compares with NaN: such a head was refused at loading, or is looked at on purpose.
    if error > rounding:
        raise ModelError(
            f"{', '.join(head.names)} computes something else than weights times inputs.",
            INNER_LAYERS_HINT,
        )
    return head


def _assemble(classifier: Classifier, calls: list[HeadCall]) -> Head:
    """Calls grouped by the weights that they use, in the order of execution."""
    names = {module: name for name, module in classifier.network.named_modules()}
    grouped: dict[tuple[int, int], list[HeadCall]] = {}
    for call in calls:
        key = (id(call.module.weight), id(call.module.bias))
        grouped.setdefault(key, []).append(call)
    branches = []
    for group in grouped.values():
        module = group[0].module
        assert isinstance(module, nn.Linear | nn.Conv2d)
        branches.append(HeadBranch(names[module], module, tuple(group)))
    return Head(tuple(branches))
