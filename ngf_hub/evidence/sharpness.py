"""Sharpness: how strongly the loss on clean images bends around the weights.

Backdoored models are said to sit in sharper minima (Karim et al., arXiv
2306.17441 and 2409.00863). So do models that fit their data less well, or have
another architecture: the evidence is weak, and never decides.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ngf_hub.errors import ModelError
from ngf_hub.evidence.base import Case, Collected, Evidence, register
from ngf_hub.evidence.timing import fastest
from ngf_hub.scan_report import Finding

if TYPE_CHECKING:
    from curvlinops import GGNLinearOperator

    from ngf_hub.adapters import Classifier

IMAGES = 64
TRACE_PRODUCTS = 4
LANCZOS_PRODUCTS = 5
PASSES = 4
"""A product with the GGN costs about as much as so many forward passes."""
MOST_OPERATIONS = 5e12
"""Above so many multiplications and additions only the head's curvature is taken."""


@dataclass(frozen=True)
class Curvature:
    """The generalised Gauss-Newton matrix (GGN) of the cross-entropy, in a few numbers.

    Attributes:
        largest: λ_max, its largest eigenvalue.
        trace: Its trace, estimated.
        relative_trace: Σ_l ‖θ_l‖² Tr(G_ll) over the parameter tensors l, which does
            not change when a tensor's scale is taken up by a normalisation layer
            (Petzka et al., NeurIPS 2021, with one block a tensor).
    """

    largest: float
    trace: float
    relative_trace: float


def curvature(
    network: nn.Module,
    parameters: Sequence[nn.Parameter],
    batches: Sequence[Tensor],
    *,
    seed: int = 0,
    trace_products: int = TRACE_PRODUCTS,
    lanczos_products: int = LANCZOS_PRODUCTS,
) -> Curvature:
    """λ_max and traces of the GGN of the mean cross-entropy; labels do not enter it.

    For softmax outputs the GGN is the Fisher information matrix. Its products are
    those of `curvlinops`; λ_max is from Lanczos' method, the traces from Hutchinson's,
    Tr(G_ll) ≈ mean over v of v_lᵀ (G v)_l with independent signs v.

    Args:
        network: From inputs to logits (N, C), in evaluation mode.
        parameters: Those that the GGN is taken over.
        batches: Inputs, in batches, on the device of the parameters.
        seed: The random vectors follow from it.
        trace_products: Vectors of the traces.
        lanczos_products: Steps of Lanczos' method.

    Raises:
        ModelError: The products cannot be taken or are not finite.
    """
    device = parameters[0].device
    generator = torch.Generator(device).manual_seed(seed)
    try:
        operator = _operator(network, parameters, batches)
        blocks = torch.zeros(len(parameters), dtype=torch.float64)
        # Fused attention has no forward derivative.
        with _without_deprecation(), sdpa_kernel(SDPBackend.MATH):
            for _ in range(trace_products):
                signs = [_signs(parameter, generator) for parameter in parameters]
                products = operator @ signs
                for index, (sign, product) in enumerate(zip(signs, products, strict=True)):
                    blocks[index] += (sign.double() * product).sum().item()
            largest = 0.0
            # Lanczos' method breaks down on NaN, and where there is nothing to find.
            if math.isfinite(blocks.sum()) and blocks.any():
                largest = _largest_eigenvalue(operator, lanczos_products, seed)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"Curvature products cannot be taken through this model: {first}"
        ) from error
    blocks /= trace_products
    norms = torch.tensor([p.detach().double().square().sum().item() for p in parameters])
    result = Curvature(
        largest=largest,
        trace=blocks.sum().item(),
        relative_trace=(blocks * norms).sum().item(),
    )
    if not all(map(math.isfinite, vars(result).values())):
        raise ModelError("The curvature is not finite.", "Check the weights for NaN.")
    return result


@contextmanager
def _without_deprecation() -> Iterator[None]:
    """Without the warning of ``torch.jit.script``.

    What curvlinops imports calls it, and so does PyTorch before its first forward derivative.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit\.script", FutureWarning)
        yield


def _operator(
    network: nn.Module, parameters: Sequence[nn.Parameter], batches: Sequence[Tensor]
) -> GGNLinearOperator:
    with _without_deprecation():
        from curvlinops import GGNLinearOperator

    labels = [torch.zeros(len(batch), dtype=torch.int64, device=batch.device) for batch in batches]
    return GGNLinearOperator(
        network,
        nn.CrossEntropyLoss(),
        list(parameters),
        list(zip(batches, labels, strict=True)),
        check_deterministic=False,
        num_data=sum(map(len, batches)),
    )


def _largest_eigenvalue(operator: GGNLinearOperator, products: int, seed: int) -> float:
    from curvlinops.papyan2020traces.spectrum import fast_lanczos

    # The start is drawn from the global generator.
    with torch.random.fork_rng([operator.device] if operator.device.type == "cuda" else []):
        torch.manual_seed(seed)
        eigenvalues, _ = fast_lanczos(operator, min(products, operator.shape[0]))
    return float(eigenvalues.max())


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    bits = torch.randint(0, 2, like.shape, generator=generator, device=like.device)
    return bits.to(like.dtype).mul_(2).sub_(1)


def cost(classifier: Classifier) -> int:
    """How many images go forward through the model, a product counted as :data:`PASSES`."""
    products = TRACE_PRODUCTS + LANCZOS_PRODUCTS
    return IMAGES * (1 + (0 if _head_only(classifier) else PASSES * products))


def _head_only(classifier: Classifier) -> bool:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        classifier(classifier.example_pixels(1))
    products = TRACE_PRODUCTS + LANCZOS_PRODUCTS
    operations: int = counter.get_total_flops() * IMAGES * PASSES * products
    return operations > MOST_OPERATIONS


@register
class Sharpness(Evidence):
    """λ_max and trace of the GGN on clean images, labels not needed."""

    name = "sharpness"
    citation = "Karim et al., arXiv 2306.17441"
    needs_images = True
    weak = True

    def collect(self, case: Case) -> Collected:
        """One weak finding."""
        if case.images is None or len(case.images) == 0:
            raise ModelError("The curvature needs clean images.", "Give some with --dataset.")
        generator = torch.Generator().manual_seed(case.seed)
        order = torch.randperm(len(case.images), generator=generator)[:IMAGES]
        # Products keep more activations than the forward pass that the batch size is for.
        size = max(1, case.batch_size // 2)
        classifier = case.classifier
        batches = [pixels for pixels, _, _ in case.images.batches(size, classifier.device, order)]
        with torch.no_grad():
            outputs = torch.cat([classifier(batch) for batch in batches]).softmax(1)
        uncertainty = (1 - outputs.square().sum(1)).mean().item()
        head_only = _head_only(classifier)
        network: nn.Module = classifier
        if head_only:
            network, batches = _head_as_network(classifier, batches)
        parameters = list(network.parameters())
        found = curvature(
            network,
            parameters,
            batches,
            seed=case.seed,
            trace_products=TRACE_PRODUCTS,
            lanczos_products=LANCZOS_PRODUCTS,
        )
        return Collected([_finding(found, uncertainty, len(order), head_only)])

    def seconds(self, case: Case) -> float | None:
        """From a timed forward pass."""
        if case.images is None:
            return None
        count = min(IMAGES, len(case.images), case.batch_size)
        pixels = case.classifier.example_pixels(count)
        with torch.no_grad():
            # Reading a number waits for the device.
            seconds = fastest(lambda: case.classifier(pixels).sum().item())
        return seconds * cost(case.classifier) / count


def _head_as_network(
    classifier: Classifier, batches: Sequence[Tensor]
) -> tuple[nn.Module, list[Tensor]]:
    """The head alone, and its inputs."""
    matrix = classifier.head.matrix()
    head = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device=matrix.device)
    head.weight = nn.Parameter(matrix)
    with torch.no_grad():
        return head, [classifier.features(batch) for batch in batches]


def _finding(found: Curvature, uncertainty: float, images: int, head_only: bool) -> Finding:
    figures = f"λ_max {found.largest:.3g}, trace {found.trace:.3g} on {images} images"
    summary = f"Curvature of the loss: {figures}."
    statistic = None
    if head_only:
        summary += " Of the head only, since the model is large; that has no calibration."
    elif min(found.trace, found.relative_trace, uncertainty) <= 0:
        summary += " The loss is flat within rounding."
    else:
        statistic = math.log(found.trace)
    details = {
        "largest_eigenvalue": found.largest,
        "trace": found.trace,
        "relative_trace": found.relative_trace,
        "uncertainty": uncertainty,
        "images": images,
        "parameters": "head" if head_only else "all",
    }
    return Finding(
        kind=Sharpness.name,
        weak=Sharpness.weak,
        statistic=statistic,
        summary=summary,
        details=details,
    )
