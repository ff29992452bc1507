"""Preconditioned conjugate gradients for (A + λI) x = b (Hestenes & Stiefel, 1952)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ngf_hub.errors import MethodError


@dataclass(frozen=True)
class CGResult:
    """What :func:`conjugate_gradient` found.

    Attributes:
        solution: x, of the right-hand side's shape.
        iterations: Products with A.
        residual: ‖b − (A + λI) x‖ / ‖b‖.
        converged: Whether the residual is within the tolerance.
    """

    solution: Tensor
    iterations: int
    residual: float
    converged: bool


def _dot(left: Tensor, right: Tensor) -> float:
    return torch.dot(left.flatten(), right.flatten()).item()


def conjugate_gradient(
    matvec: Callable[[Tensor], Tensor],
    rhs: Tensor,
    *,
    damping: float = 0.0,
    preconditioner: Callable[[Tensor], Tensor] | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 100,
) -> CGResult:
    """Solve (A + λI) x = b for a symmetric positive semi-definite A, from x = 0.

    However early it is stopped, x is a descent direction of any function whose
    gradient is −b.

    Args:
        matvec: v ↦ A v, on tensors of the shape of ``rhs``.
        rhs: b, a tensor of any shape.
        damping: λ ≥ 0.
        preconditioner: v ↦ M⁻¹ v for a symmetric positive definite M close to A + λI.
        tolerance: Stop at ‖b − (A + λI) x‖ ≤ tolerance · ‖b‖.
        max_iterations: Stop after so many products with A.

    Raises:
        MethodError: A value is not finite, or a direction of clearly negative
            curvature shows that A + λI is not positive definite.
    """
    x = torch.zeros_like(rhs)
    norm = math.sqrt(_dot(rhs, rhs))
    if not math.isfinite(norm):
        raise MethodError(
            "The gradient of the natural-gradient step is not finite.",
            "Check the weights and images for NaN, or raise the damping.",
        )
    if norm == 0:
        return CGResult(x, 0, 0.0, True)
    r = rhs.clone()
    z = preconditioner(r) if preconditioner else r
    p = z.clone()
    rz = _dot(r, z)
    residual, iterations = 1.0, 0
    while residual > tolerance and iterations < max_iterations:
        ap = matvec(p)
        if damping:
            ap.add_(p, alpha=damping)
        curvature = _dot(p, ap)
        iterations += 1
        if not (math.isfinite(curvature) and math.isfinite(rz)):
            raise MethodError(
                "A curvature product is not finite.",
                "Check the weights and images for NaN, or raise the damping.",
            )
        if curvature <= 0 or rz <= 0:
            rounding = 64 * torch.finfo(p.dtype).eps * math.sqrt(_dot(p, p) * _dot(ap, ap))
            if curvature < -rounding or rz < 0:
                raise MethodError(
                    f"The damped curvature is not positive definite (vᵀAv = {curvature:.3g}).",
                    "Raise the damping.",
                )
            break  # the rest of b lies where the matrix is zero to rounding
        alpha = rz / curvature
        x.add_(p, alpha=alpha)
        r.sub_(ap, alpha=alpha)
        residual = math.sqrt(_dot(r, r)) / norm
        z = preconditioner(r) if preconditioner else r
        rz, previous = _dot(r, z), rz
        p.mul_(rz / previous).add_(z)
    return CGResult(x, iterations, residual, residual <= tolerance)
