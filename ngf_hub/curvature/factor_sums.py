"""One batch's sums of a aᵀ and g gᵀ, from which the Kronecker factors are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ngf_hub.curvature.positions import factor_shapes, input_positions, output_positions
from ngf_hub.errors import MethodError


def sample_labels(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Labels (N,) drawn from ``probabilities`` (N, C) by inverting their sums at ``uniforms`` (N,).

    The same uniforms give the same labels on every device and however the
    images are spread over processes.
    """
    sums = probabilities.cumsum(1)
    threshold = uniforms.to(sums).unsqueeze(1) * sums[:, -1:]
    return (sums <= threshold).sum(1).clamp(max=probabilities.shape[1] - 1)


class FactorSums:
    """Σ a aᵀ and Σ g gᵀ of each layer over the positions of all images added so far.

    Args:
        layers: Linear and Conv2d modules.

    Attributes:
        inputs: Σ a aᵀ (G, a, a), by layer.
        outputs: Σ g gᵀ (G, o, o), by layer.
        positions: Input vectors summed, by layer.
        images: Images added.
    """

    def __init__(self, layers: Sequence[nn.Linear | nn.Conv2d]) -> None:
        self._layers = layers
        self.inputs: dict[nn.Module, Tensor] = {}
        self.outputs: dict[nn.Module, Tensor] = {}
        self.positions: dict[nn.Module, int] = dict.fromkeys(layers, 0)
        self.images = 0
        for layer in layers:
            groups, a, o = factor_shapes(layer)
            wide = torch.float64 if layer.weight.dtype is torch.float64 else torch.float32
            self.inputs[layer] = layer.weight.new_zeros(groups, a, a, dtype=wide)
            self.outputs[layer] = layer.weight.new_zeros(groups, o, o, dtype=wide)

    def add(
        self, forward: Callable[[Tensor], Tensor], pixels: Tensor, uniforms: Tensor | None
    ) -> None:
        """Add the images ``pixels``.

        Args:
            forward: Pixels (N, ...) to logits (N, C).
            pixels: The images.
            uniforms: (samples, N), by which labels are drawn from the softmax;
                ``None`` for the exact expectation, by C backward passes.

        Raises:
            MethodError: A layer took no part in the forward pass.
        """
        with _gradients_reach(self._layers), torch.enable_grad():
            with self._recording() as edges:
                logits = forward(pixels)
            called = {layer for layer, _ in edges}
            for layer in self._layers:
                if layer not in called:
                    raise MethodError(
                        f"A chosen {type(layer).__name__} layer took no part in the forward pass.",
                        "Choose another layer.",
                    )
            self._add_outputs(logits, edges, uniforms)
        self.images += len(pixels)

    @contextmanager
    def _recording(self) -> Iterator[list[tuple[nn.Linear | nn.Conv2d, GradientEdge]]]:
        """Within it, the layers' inputs are summed and the edges of their outputs collected.

        Edges, not tensors: they still stand for the layer's own output after an
        activation has overwritten it in place.
        """
        edges: list[tuple[nn.Linear | nn.Conv2d, GradientEdge]] = []

        def hook(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
            inputs = args[0] if args else kwargs["input"]
            if not output.requires_grad:
                raise MethodError(
                    f"K-FAC needs gradients at a {type(layer).__name__} layer that ran without.",
                    "Call the model without torch.no_grad or torch.inference_mode inside.",
                )
            with torch.no_grad():
                for vectors in input_positions(layer, inputs.detach(), output):
                    self.inputs[layer].baddbmm_(vectors.mT, vectors)
                    self.positions[layer] += vectors.shape[1]
            edges.append((layer, get_gradient_edge(output)))

        handles = [layer.register_forward_hook(hook, with_kwargs=True) for layer in self._layers]
        try:
            yield edges
        finally:
            for handle in handles:
                handle.remove()

    def _add_outputs(
        self,
        logits: Tensor,
        edges: Sequence[tuple[nn.Linear | nn.Conv2d, GradientEdge]],
        uniforms: Tensor | None,
    ) -> None:
        probabilities = logits.detach().softmax(1)
        passes = probabilities.shape[1] if uniforms is None else len(uniforms)
        for index in range(passes):
            if uniforms is None:
                # Column c of S = diag(√p) − p √pᵀ, for which S Sᵀ = diag(p) − p pᵀ.
                root = probabilities[:, index : index + 1].sqrt()
                at_logits = -root * probabilities
                at_logits[:, index : index + 1] += root
                share = 1.0
            else:
                labels = sample_labels(probabilities, uniforms[index]).unsqueeze(1)
                at_logits = probabilities.scatter_add(1, labels, -torch.ones_like(probabilities))
                share = 1.0 / passes
            gradients = torch.autograd.grad(
                logits,
                [edge for _, edge in edges],
                at_logits,
                retain_graph=index < passes - 1,
                allow_unused=True,
            )
            for (layer, _), gradient in zip(edges, gradients, strict=True):
                if gradient is not None:
                    vectors = output_positions(layer, gradient)
                    self.outputs[layer].baddbmm_(vectors.mT, vectors, alpha=share)


@contextmanager
def _gradients_reach(layers: Sequence[nn.Linear | nn.Conv2d]) -> Iterator[None]:
    """Within it, the layers' outputs require gradients even if all parameters are frozen."""
    frozen = [layer.weight for layer in layers if not layer.weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)
