"""The exact Fisher information matrix of a softmax regression, never formed.

A head with weights W (C, D) gives logits H Wᵀ for features H (n, D), the bias
folded in as a constant feature. Its Fisher information matrix over vec(W),

    F = (1/n) Σᵢ (diag(pᵢ) − pᵢ pᵢᵀ) ⊗ hᵢ hᵢᵀ,

has (C·D)² entries but needs only H and the probabilities P (n, C) to be
multiplied with. For the cross-entropy it is also the exact Hessian.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ngf_hub.curvature.reduction import Reduce, local, row_chunks


def loss_and_gradient(
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    n_total: int | None = None,
    reduce: Reduce = local,
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of a softmax regression and its gradient.

    Args:
        features: This process's rows of H (n, D).
        labels: Their classes (n,), integers in 0..C-1.
        weights: W (C, D).
        n_total: Rows over all processes; ``None`` for the rows given.
        reduce: Sums a tensor over the processes.

    Returns:
        The loss (scalar) and its gradient (C, D) = (1/n) (P − Y)ᵀ H.
    """
    features, weights = features.detach(), weights.detach()
    loss = features.new_zeros(())
    gradient = torch.zeros_like(weights)
    for rows in row_chunks(len(features), len(weights)):
        h, y = features[rows], labels[rows]
        log_p = (h @ weights.T).log_softmax(1)
        loss += functional.nll_loss(log_p, y, reduction="sum")
        error = log_p.exp_()
        error.scatter_add_(1, y.unsqueeze(1), -torch.ones_like(error[:, :1]))
        gradient.addmm_(error.T, h)
    n = len(features) if n_total is None else n_total
    return reduce(loss) / n, reduce(gradient) / n


class SoftmaxFisher:
    """F = (1/n) Σᵢ (diag(pᵢ) − pᵢ pᵢᵀ) ⊗ hᵢ hᵢᵀ as an operator on (C, D) matrices.

    The probabilities are computed once, at construction, and are the only
    (n, C) memory; every product runs over chunks of rows.

    Args:
        features: This process's rows of H (n, D), float32 or float64.
        weights: W (C, D) of the same type.
        n_total: Rows over all processes; ``None`` for the rows given.
        reduce: Sums a tensor over the processes.
        logits: H Wᵀ (n, C) where it is known already.

    Attributes:
        features: As given.
        probabilities: P (n, C) of this process's rows.
        n_total: Rows over all processes.
        reduce: As given.
    """

    def __init__(
        self,
        features: Tensor,
        weights: Tensor,
        *,
        n_total: int | None = None,
        reduce: Reduce = local,
        logits: Tensor | None = None,
    ) -> None:
        features, weights = features.detach(), weights.detach()
        if logits is None:
            self.probabilities = features.new_empty(len(features), len(weights))
            for rows in row_chunks(*self.probabilities.shape):
                self.probabilities[rows] = (features[rows] @ weights.T).softmax(1)
        else:
            self.probabilities = logits.detach().softmax(1)
        self.features = features
        self.n_total = len(features) if n_total is None else n_total
        self.reduce = reduce

    @property
    def shape(self) -> tuple[int, int]:
        """(C, D), the shape of what the operator acts on."""
        return self.probabilities.shape[1], self.features.shape[1]

    def gradient(self, labels: Tensor) -> Tensor:
        """Gradient (C, D) = (1/n) (P − Y)ᵀ H of the mean cross-entropy with ``labels`` (n,)."""
        total = self.features.new_zeros(self.shape)
        for rows in row_chunks(*self.probabilities.shape):
            error = self.probabilities[rows].clone()
            error.scatter_add_(1, labels[rows, None], -torch.ones_like(error[:, :1]))
            total.addmm_(error.T, self.features[rows])
        return self.reduce(total).div_(self.n_total)

    def matvec(self, vector: Tensor) -> Tensor:
        """F V for V (C, D), exactly, in 4·n·C·D operations."""
        product = torch.zeros_like(vector)
        for rows in row_chunks(*self.probabilities.shape):
            h, p = self.features[rows], self.probabilities[rows]
            u = h @ vector.T
            u -= torch.linalg.vecdot(p, u).unsqueeze(1)
            product.addmm_((u.mul_(p)).T, h)
        return self.reduce(product).div_(self.n_total)

    def diagonal(self) -> Tensor:
        """diag(F) as a (C, D) matrix: (1/n) Σᵢ pᵢ (1 − pᵢ) hᵢ²."""
        total = self.features.new_zeros(self.shape)
        for rows in row_chunks(len(self.features), max(self.shape)):
            h, p = self.features[rows], self.probabilities[rows]
            total.addmm_((p * (1 - p)).T, h.square())
        return self.reduce(total).div_(self.n_total)

    def trace(self) -> Tensor:
        """Tr(F) = (1/n) Σᵢ (1 − ‖pᵢ‖²) ‖hᵢ‖² (scalar)."""
        total = self.features.new_zeros(())
        for rows in row_chunks(len(self.features), max(self.shape)):
            h, p = self.features[rows], self.probabilities[rows]
            total += torch.dot((p * (1 - p)).sum(1), h.square().sum(1))
        return self.reduce(total).div_(self.n_total)
