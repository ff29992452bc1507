"""Which layers make up the logits, found by tracing and not by name.

Every Linear and 1x1 Conv2d with one output a class is a candidate. One forward
pass replaces what the candidates return by random tensors Z_k. If the logits are

    logits[n, c] = sum_k sum_p s_k[p] Z_k[n, p, c]

over the positions p of each call k (tokens, pixels, or a single one), then the
gradient of a random projection of the logits gives the weights s_k: it covers
one layer, several that are averaged (distilled heads, branches), and pooling
before or after the layer. Candidates whose output goes nowhere, or only into
another candidate, get no gradient and drop out by themselves. Since Z is
random, the weights of the head play no part: zeros or NaN do not mislead it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ngf_hub.errors import ModelError

if TYPE_CHECKING:
    from ngf_hub.adapters.base import Classifier

INNER_LAYERS_HINT = "Inner layers can still be tuned: name one with --layer."
TOLERANCE = 1e-4


@dataclass(frozen=True)
class HeadCall:
    """One call of a head module in a forward pass.

    Attributes:
        module: The module that is called.
        index: Which call of this module it is, from 0.
        weights: (P,) with what weight each position enters the logits.
    """

    module: nn.Module
    index: int
    weights: Tensor

    def pool(self, inputs: Tensor, count: int) -> Tensor:
        """The weighted sum (N, in_features) of this call's inputs over its positions."""
        positions = _positions(self.module, inputs.float(), count)
        weights = self.weights.to(positions.device)
        if positions.shape[1] == weights.numel():
            # Not a matrix product: autocast would round that to half precision.
            return (positions * weights[None, :, None]).sum(1)
        if not torch.allclose(weights, weights.mean()):
            raise ModelError(
                "The head pools its positions unevenly, so images must keep their size.",
                "Use the model's own input size.",
            )
        return positions.mean(1) * weights.sum()


@contextmanager
def evaluating(classifier: nn.Module) -> Iterator[None]:
    """Evaluation mode, no autocast, no gradients of the parameters; put back afterwards."""
    modes = {module: module.training for module in classifier.modules()}
    learned = {parameter: parameter.requires_grad for parameter in classifier.parameters()}
    classifier.eval()
    classifier.requires_grad_(False)
    device = next((p.device.type for p in learned), "cpu")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter, requires_grad in learned.items():
            parameter.requires_grad_(requires_grad)


def _is_candidate(module: nn.Module, num_classes: int) -> bool:
    if parametrize.is_parametrized(module):
        return False  # its weight is computed, so none can be written
    if isinstance(module, nn.Linear):
        return module.out_features == num_classes
    return (
        isinstance(module, nn.Conv2d)
        and module.out_channels == num_classes
        and module.kernel_size == (1, 1)
        and module.stride == (1, 1)
        and module.padding in ((0, 0), "valid", "same")
        and module.groups == 1
    )


def _positions(module: nn.Module, values: Tensor, count: int) -> Tensor:
    """A layer's inputs or outputs as (N, positions, channels)."""
    if isinstance(module, nn.Conv2d):
        return values.reshape(count, values.shape[-3], -1).transpose(1, 2)
    return values.reshape(count, -1, values.shape[-1])


def trace_head(classifier: Classifier, pixels: Tensor, num_classes: int) -> list[HeadCall]:
    """The calls that make up the logits, with the weight of each position."""
    count = len(pixels)
    generator = torch.Generator().manual_seed(0)
    replaced: list[tuple[nn.Module, int, Tensor]] = []

    def replace(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        noise = torch.randn(output.shape, generator=generator).to(output)
        noise.requires_grad_()
        index = sum(1 for other, _, _ in replaced if other is module)
        replaced.append((module, index, noise))
        return noise.clone()  # some networks change their logits in place

    handles = [
        module.register_forward_hook(replace)
        for module in classifier.network.modules()
        if _is_candidate(module, num_classes)
    ]
    name = classifier.architecture
    try:
        with torch.enable_grad():
            logits = classifier(pixels)
    finally:
        for handle in handles:
            handle.remove()
    if not replaced:
        raise ModelError(
            f"No Linear or 1x1 Conv2d layer with {num_classes} outputs runs in {name}.",
            INNER_LAYERS_HINT,
        )
    nonlinear = ModelError(
        f"The logits of {name} are no linear function of its last layers' outputs.",
        INNER_LAYERS_HINT,
    )
    if not logits.requires_grad:
        raise nonlinear
    # Magnitudes in [1, 2), so that dividing by them is harmless.
    direction = 1 + torch.rand(logits.shape, generator=generator)
    direction *= torch.randint(0, 2, logits.shape, generator=generator) * 2 - 1
    direction = direction.to(logits)
    gradients = torch.autograd.grad(
        (logits * direction).sum(), [noise for _, _, noise in replaced], allow_unused=True
    )
    calls = []
    rebuilt = torch.zeros_like(logits)
    for (module, index, noise), gradient in zip(replaced, gradients, strict=True):
        if gradient is None or not gradient.any():
            continue
        if gradient.numel() % (count * num_classes):
            raise nonlinear
        slopes = _positions(module, gradient, count) / direction[:, None, :]
        weights = slopes.mean(dim=(0, 2))
        if (slopes - weights[None, :, None]).abs().max() > TOLERANCE * slopes.abs().max():
            raise nonlinear
        weighted = _positions(module, noise, count) * weights[None, :, None]
        rebuilt = rebuilt + weighted.sum(1)
        calls.append(HeadCall(module, index, weights.detach().clone()))
    if not torch.allclose(rebuilt, logits, rtol=TOLERANCE, atol=TOLERANCE):
        raise nonlinear
    return calls
