"""Decompositions of symmetric positive semi-definite factors, on every device and with care."""

from __future__ import annotations

import torch
from torch import Tensor

SMALL = 512
"""Up to this dimension a factor is decomposed in float64, whose cost is negligible there."""


def _working_copy(matrix: Tensor) -> Tensor:
    """``matrix`` where and in what type a decomposition of it runs well."""
    if matrix.device.type == "mps":  # neither float64 nor the decompositions exist there
        matrix = matrix.cpu()
    return matrix.double() if matrix.shape[-1] <= SMALL else matrix


def eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., d), clamped at zero, and eigenvectors (..., d, d) of a PSD matrix.

    Args:
        matrix: Symmetric positive semi-definite (..., d, d).

    Returns:
        Ascending eigenvalues and the eigenvectors in columns, of the type and
        on the device of ``matrix``.
    """
    try:
        values, vectors = torch.linalg.eigh(_working_copy(matrix))
    except RuntimeError:  # LinAlgError: no convergence in float32
        values, vectors = torch.linalg.eigh(matrix.cpu().double())
    return values.clamp(min=0).to(matrix), vectors.to(matrix)


def damped_inverse(factor: Tensor, damping: Tensor) -> Tensor:
    """(factor + damping · I)⁻¹, by Cholesky where rounding allows it.

    Args:
        factor: Symmetric positive semi-definite (G, d, d).
        damping: One positive number a matrix (G,).

    Returns:
        The inverses (G, d, d), symmetric, of the type and on the device of ``factor``.
    """
    damped = _working_copy(factor).clone()
    damped.diagonal(dim1=-2, dim2=-1).add_(damping.to(damped).unsqueeze(-1))
    lower, failed = torch.linalg.cholesky_ex(damped)
    if not failed.any():
        return torch.cholesky_inverse(lower).to(factor)
    # Rounding made an eigenvalue negative that damping alone should hold up.
    values, vectors = eigh(factor.double() if factor.device.type != "mps" else factor.cpu())
    inverse = vectors / (values + damping.to(values).unsqueeze(-1)).unsqueeze(-2) @ vectors.mT
    return inverse.to(factor)
