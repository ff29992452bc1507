"""How the curvature of the tuned layers changed: top of the spectrum and trace, before and after.

Backdoored models are said to sit in sharper minima than clean ones, and purification to
lead to flatter ones (Karim et al., arXiv 2306.17441 and 2409.00863). The figures show what
became of that here; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from ngf_hub.curvature import KFAC
from ngf_hub.curvature.positions import check_supported, factor_shapes
from ngf_hub.errors import MethodError
from ngf_hub.methods.base import Task
from ngf_hub.report_parts import Curvature, Spectrum
from ngf_hub.unchanged import State

IMAGES = 64
EIGENVALUES = 10
EXACT_CLASSES = 10
"""With at most so many classes the expectation over labels is exact, not drawn."""
MOST_BYTES = 2**29
"""Layers whose factors together would take more have no spectrum."""


def compare_spectra(task: Task, original: State) -> Spectrum | None:
    """The Fisher information of the task's layers, by K-FAC, before and after a method.

    It takes two forward and, with more than :data:`EXACT_CLASSES` classes, two backward
    passes over 64 images.

    Args:
        task: The tuned model, its tuned layers and images; labels do not enter.
        original: What the model was; it is the tuned one again afterwards.

    Returns:
        ``None`` where the layers have no Kronecker factors, or factors too large.
    """
    try:
        modules = list(dict.fromkeys(check_supported(layer.module) for layer in task.layers))
    except MethodError:
        return None
    if not modules or len(task.pixels) == 0 or _factor_bytes(modules) > MOST_BYTES:
        return None
    count = min(IMAGES, len(task.pixels))
    tuned = State(task.classifier)
    try:
        after = _curvature(task, modules, count)
        original.restore()
        before = _curvature(task, modules, count)
    except (MethodError, RuntimeError):
        return None  # a figure beside the result must not cost the result
    finally:
        tuned.restore()
    return Spectrum(
        layers=[layer.name for layer in task.layers], images=count, before=before, after=after
    )


def _curvature(task: Task, modules: Sequence[nn.Module], count: int) -> Curvature:
    classifier = task.classifier
    classifier.eval()
    kfac = KFAC(modules, decay=1.0)
    exact = classifier.num_classes <= EXACT_CLASSES
    generator = Generator().manual_seed(task.seed)
    for pixels, _, _ in task.pixels.batches(task.batch_size, classifier.device, range(count)):
        kfac.update(
            classifier,
            pixels,
            fisher="type-2" if exact else "mc",
            uniforms=torch.rand(1, len(pixels), generator=generator),
        )
    largest: list[Tensor] = []
    trace = 0.0
    for module in kfac.layers:
        a, b = kfac.factors(module)
        largest.append(largest_products(a, b, EIGENVALUES))
        trace += float((_trace(a) * _trace(b)).sum())
    eigenvalues = torch.cat(largest).sort(descending=True).values[:EIGENVALUES]
    return Curvature(eigenvalues=eigenvalues.tolist(), trace=trace)


def largest_products(a: Tensor, b: Tensor, count: int) -> Tensor:
    """The largest eigenvalues of the blocks B_g ⊗ A_g together, descending.

    They are products of eigenvalues of the two, of which the ``count`` largest suffice.

    Args:
        a: Positive semi-definite matrices A (G, a, a).
        b: Likewise B (G, o, o).
        count: How many, at most.

    >>> largest_products(torch.diag(torch.tensor([1.0, 3.0]))[None], torch.eye(2)[None], 3)
    tensor([3., 3., 1.])
    """
    first = torch.linalg.eigvalsh(a)[:, -count:].clamp_min(0)
    second = torch.linalg.eigvalsh(b)[:, -count:].clamp_min(0)
    products: Tensor = (first[:, :, None] * second[:, None, :]).flatten()
    return products.topk(min(count, len(products))).values


def _trace(matrices: Tensor) -> Tensor:
    traces: Tensor = matrices.diagonal(dim1=1, dim2=2).sum(1)
    return traces


def _factor_bytes(modules: Sequence[nn.Linear | nn.Conv2d]) -> int:
    shapes = [factor_shapes(module) for module in modules]
    return sum(4 * groups * (a * a + o * o) for groups, a, o in shapes)
