"""K-FAC: the Fisher information of inner layers as a Kronecker product.

For a layer that multiplies W (o, a) with vectors a_t and whose outputs have the
gradients g_t (of −log p(y|x), y drawn from the model's own softmax), one block
of the Fisher information matrix is approximated by B ⊗ A with

    A = mean over positions t and images of a_t a_tᵀ,
    B = mean over images of the sum over positions of g_t g_tᵀ

(Martens & Grosse, arXiv 1503.05671; convolutions: Grosse & Martens, arXiv
1602.01407; this is the "expand" setting for weight sharing of Eschenhagen et
al., arXiv 2311.00636). Blocks between layers are zero; a grouped convolution
has one block a group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from ngf_hub.curvature.factor_sums import FactorSums
from ngf_hub.curvature.linalg import damped_inverse
from ngf_hub.curvature.positions import (
    ParameterTensors,
    check_supported,
    factor_shapes,
    from_matrix,
    layer_parameters,
    to_matrix,
)
from ngf_hub.curvature.reduction import Reduce, local
from ngf_hub.errors import MethodError

FisherType = Literal["mc", "type-2"]


class KFAC:
    """Kronecker factors of some layers, and the natural-gradient steps that follow from them.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> kfac = KFAC([network[0]], damping=0.1)
        >>> kfac.update(network, torch.rand(8, 4), generator=Generator().manual_seed(0))
        >>> gradients = {p: torch.rand_like(p) for p in network[0].parameters()}
        >>> steps = kfac.precondition(gradients)
        >>> steps[network[0].weight].shape, steps[network[0].bias].shape
        (torch.Size([3, 4]), torch.Size([3]))

    Args:
        layers: Linear and Conv2d modules. A module that is called several times
            in a forward pass counts all its calls as positions.
        damping: λ > 0, split between the factors by their traces: with
            π² = (tr(A)/a) / (tr(B)/o) the step is
            (B + √λ/π · I)⁻¹ G (A + π√λ · I)⁻¹ (Martens & Grosse, section 6.3).
        decay: Of the running averages of the factors: after k updates the old
            factors keep the share min(1 − 1/k, decay).
        reduce: Sums a tensor over the processes, each of which updates with its
            share of the images.

    Attributes:
        layers: The modules, each once.

    Raises:
        MethodError: A module is neither a Linear nor a Conv2d, or the damping
            is not positive.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        *,
        damping: float = 0.1,
        decay: float = 0.8,
        reduce: Reduce = local,
    ) -> None:
        self.layers = list(dict.fromkeys(check_supported(layer) for layer in layers))
        self._decay = decay
        self._reduce = reduce
        self._updates = 0
        self._factors: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._inverses: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self.damping = damping

    @property
    def damping(self) -> float:
        """λ; setting it takes effect at the next :meth:`precondition`."""
        return self._damping

    @damping.setter
    def damping(self, value: float) -> None:
        if not value > 0:
            raise MethodError(f"The damping must be a positive number, not {value}.")
        self._damping = value
        self._inverses.clear()

    @property
    def bytes(self) -> int:
        """What the factors of all layers take in float32; while they are renewed, twice that."""
        shapes = [factor_shapes(layer) for layer in self.layers]
        return sum(4 * groups * (a * a + o * o) for groups, a, o in shapes)

    def factors(self, layer: nn.Module) -> tuple[Tensor, Tensor]:
        """A (G, a, a) and B (G, o, o) of ``layer``, undamped.

        Raises:
            MethodError: There was no update yet.
        """
        if not self._factors:
            raise MethodError("K-FAC has no factors yet.", "Call update() first.")
        return self._factors[layer]

    def update(
        self,
        forward: Callable[[Tensor], Tensor],
        pixels: Tensor,
        *,
        fisher: FisherType = "mc",
        samples: int = 1,
        generator: Generator | None = None,
        uniforms: Tensor | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Take the factors of ``pixels`` into the running averages.

        No parameter's ``.grad`` is touched. The model should be in evaluation
        mode: in training mode, batch normalisation couples the images.

        Args:
            forward: Pixels (N, ...) to logits (N, C), such as the model.
            pixels: This process's images.
            fisher: ``mc`` draws labels from the model's softmax; ``type-2``
                takes the exact expectation over them, by C backward passes.
            samples: Labels drawn for each image (``mc``).
            generator: A generator for them, of any device.
            uniforms: Uniform numbers (samples, N) to draw them by instead, so
                that shards of a batch can draw what the whole batch would.
            batch_size: Images in one forward pass; ``None`` for all.

        Raises:
            MethodError: A layer took no part in the forward pass, or a factor
                is not finite.
        """
        if fisher == "type-2":
            uniforms = None
        elif uniforms is None:
            device = generator.device if generator is not None else None
            uniforms = torch.rand(samples, len(pixels), generator=generator, device=device)
        sums = FactorSums(self.layers)
        size = max(1, batch_size or len(pixels))
        for start in range(0, len(pixels), size):
            images = slice(start, start + size)
            sums.add(forward, pixels[images], None if uniforms is None else uniforms[:, images])
        self._average(sums)

    def precondition(
        self, gradients: ParameterTensors, *, keep: bool = True
    ) -> dict[nn.Parameter, Tensor]:
        """The natural-gradient steps (F + λI)⁻¹ g, to be subtracted from the parameters.

        Args:
            gradients: One for the weight and bias of each layer to step on;
                layers whose weight has none are left out.
            keep: Whether the inverses stay in memory for the next call.
        """
        steps: dict[nn.Parameter, Tensor] = {}
        for layer in self._layers_in(gradients):
            right, left = self._inverse(layer)
            steps.update(_multiplied(layer, gradients, right, left))
            if not keep:
                self._inverses.pop(layer, None)
        return steps

    def matvec(self, vectors: ParameterTensors) -> dict[nn.Parameter, Tensor]:
        """The products (B ⊗ A) v of the undamped approximation, as :meth:`precondition`."""
        products: dict[nn.Parameter, Tensor] = {}
        for layer in self._layers_in(vectors):
            right, left = self.factors(layer)
            products.update(_multiplied(layer, vectors, right, left))
        return products

    def diagonal(self) -> dict[nn.Parameter, Tensor]:
        """The diagonal of B ⊗ A, undamped, one tensor a parameter."""
        diagonal: dict[nn.Parameter, Tensor] = {}
        for layer in self.layers:
            a, b = self.factors(layer)
            outer = b.diagonal(dim1=1, dim2=2).unsqueeze(2) * a.diagonal(dim1=1, dim2=2).unsqueeze(
                1
            )
            diagonal.update(from_matrix(layer, outer))
        return diagonal

    def _layers_in(self, tensors: ParameterTensors) -> list[nn.Linear | nn.Conv2d]:
        return [layer for layer in self.layers if layer_parameters(layer)[0] in tensors]

    def _average(self, sums: FactorSums) -> None:
        """Turn sums into means over all processes, and these into the running averages."""
        self._updates += 1
        self._inverses.clear()
        kept = min(1 - 1 / self._updates, self._decay)
        for layer in self.layers:
            counts = sums.inputs[layer].new_tensor([sums.positions[layer], sums.images])
            positions, images = self._reduce(counts).tolist()
            new_a = self._reduce(sums.inputs[layer]).div_(max(positions, 1))
            new_b = self._reduce(sums.outputs[layer]).div_(max(images, 1))
            if not (new_a.isfinite().all() and new_b.isfinite().all()):
                raise MethodError(
                    "A curvature factor is not finite.",
                    "Check the weights and images for NaN, or run without mixed precision.",
                )
            if layer in self._factors:
                old_a, old_b = self._factors[layer]
                new_a, new_b = old_a.lerp_(new_a, 1 - kept), old_b.lerp_(new_b, 1 - kept)
            self._factors[layer] = (new_a, new_b)

    def _inverse(self, layer: nn.Linear | nn.Conv2d) -> tuple[Tensor, Tensor]:
        """(A + π√λ I)⁻¹ and (B + √λ/π I)⁻¹, computed once for each state of the factors."""
        if layer not in self._inverses:
            a, b = self.factors(layer)
            mean_a = a.diagonal(dim1=-2, dim2=-1).mean(-1)
            mean_b = b.diagonal(dim1=-2, dim2=-1).mean(-1)
            # A group that never fires, or never matters, has a factor of zero.
            alive = (mean_a > 0) & (mean_b > 0)
            ratio = torch.where(alive, mean_a / mean_b, torch.ones_like(mean_a)).sqrt()
            root = self._damping**0.5
            self._inverses[layer] = (
                damped_inverse(a, ratio * root),
                damped_inverse(b, root / ratio),
            )
        return self._inverses[layer]


def _multiplied(
    layer: nn.Linear | nn.Conv2d, tensors: ParameterTensors, right: Tensor, left: Tensor
) -> dict[nn.Parameter, Tensor]:
    """left · V · right with V the layer's tensors as a (G, o, a) matrix."""
    return from_matrix(layer, left @ to_matrix(layer, tensors).to(left) @ right)
