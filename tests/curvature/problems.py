"""Small problems, the Fisher information by its definition, and processes played by threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional


def head_problem(
    n: int,
    classes: int,
    features: int,
    *,
    scale: float = 1.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor]:
    """Correlated features with a constant 1 at the end, labels, and a head's weights."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    mixed = normal(n, features) @ normal(features, features)
    h = torch.cat([mixed[:, 1:].relu(), torch.ones(n, 1, dtype=dtype)], dim=1)
    labels = torch.randint(classes, (n,), generator=generator)
    return h, labels, scale * normal(classes, features)


def dense_fisher(h: Tensor, weights: Tensor) -> Tensor:
    """F (C·D, C·D) by its definition: the mean of E_y[∇log p(y|h) ∇log p(y|h)ᵀ]."""
    size = weights.numel()
    fisher = torch.zeros(size, size, dtype=weights.dtype)
    for row in h:
        w = weights.clone().requires_grad_(True)
        log_p = (w @ row).log_softmax(0)
        for y in range(len(weights)):
            (gradient,) = torch.autograd.grad(log_p[y], w, retain_graph=True)
            fisher += log_p[y].exp().detach() * torch.outer(gradient.flatten(), gradient.flatten())
    return fisher / len(h)


def objective(h: Tensor, labels: Tensor, weights: Tensor, weights0: Tensor, pull: float) -> Tensor:
    """L(θ) as the paper writes it, with diag(F(θ0)) from the dense matrix."""
    diagonal = dense_fisher(h, weights0).diagonal().view_as(weights0)
    penalty = 0.5 * pull * (diagonal * (weights - weights0).square()).sum()
    return functional.cross_entropy(h @ weights.T, labels) + penalty


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def on_processes(count: int, work: Callable[[int, Callable[[Tensor], Tensor]], object]) -> list:
    """Call ``work(rank, reduce)`` on as many threads, whose ``reduce`` is a real sum over them."""
    barrier = threading.Barrier(count, timeout=30)
    shares: list[Tensor | None] = [None] * count

    def run(rank: int) -> object:
        def reduce(share: Tensor) -> Tensor:
            shares[rank] = share.clone()
            barrier.wait()
            total = sum(shares[1:], start=shares[0].clone())
            barrier.wait()
            return total

        try:
            return work(rank, reduce)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
