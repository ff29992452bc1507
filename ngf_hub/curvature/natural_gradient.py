"""Natural Gradient Fine-tuning of a softmax head (Karim et al., arXiv 2306.17441).

The objective over the head's weights θ, from θ0, on n images is

    L(θ) = cross-entropy + (η_r/2) Σᵢ diag(F(θ0))ᵢ (θᵢ − θ0ᵢ)²

and a step is δ = −(F(θ) + η_r diag(F(θ0)) + λI)⁻¹ ∇L(θ), solved by
preconditioned conjugate gradients. The bracket less λ is the exact Hessian of
L, so these are damped Newton steps; with a fixed length they diverge at low
damping, where saturated softmax outputs leave F no curvature.

What keeps them in bounds, chosen by measurement: the step is shortened by an
exact line search, which is free of products with the features, and λ is adapted
by the ratio of actual to predicted decrease (Levenberg 1944, Marquardt 1963) for
the *next* step, as in Hessian-free optimisation (Martens, 2010). Solving again
at a larger λ until the ratio is good throws away every refused solve: at low
damping it took 10 to 35 % more products with F and ended at a higher objective.
A line search alone, with λ fixed, took up to a third more products, because low
damping stays in force where it needs the most iterations and the line then
leaves a few per cent of the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ngf_hub.curvature.cg import conjugate_gradient
from ngf_hub.curvature.line_search import HeadLine, search
from ngf_hub.curvature.preconditioners import (
    FeatureBasis,
    PreconditionerName,
    choose_preconditioner,
    jacobi,
    kronecker,
)
from ngf_hub.curvature.reduction import Reduce, local, row_chunks
from ngf_hub.curvature.softmax import SoftmaxFisher
from ngf_hub.errors import MethodError

WHOLE = 2**26
"""Elements up to which the features may have a temporary of their own size."""
STALLED_AFTER = 4
"""Steps in a row that lower the objective by no more than rounding, before giving up."""


@dataclass(frozen=True)
class HeadStep:
    """One natural-gradient step.

    Attributes:
        index: 1 for the first step.
        objective: L after the step.
        gradient_norm: ‖∇L‖ before it.
        damping: λ it was solved with.
        length: The share of the solved step that was taken.
        cg_iterations: Products with F it took.
        residual: Relative residual of the linear system.
    """

    index: int
    objective: float
    gradient_norm: float
    damping: float
    length: float
    cg_iterations: int
    residual: float


@dataclass(frozen=True)
class HeadFit:
    """A tuned head.

    Attributes:
        weights: θ (C, D).
        losses: L before the first step and after each step; never rising.
        steps: What happened in each step.
        stopped: ``steps`` (all were taken), ``converged`` (the gradient is
            within its tolerance) or ``stalled`` (no step lowers L any more).
    """

    weights: Tensor
    losses: tuple[float, ...]
    steps: tuple[HeadStep, ...]
    stopped: Literal["steps", "converged", "stalled"]

    @property
    def cg_iterations(self) -> int:
        """Products with F over all steps."""
        return sum(step.cg_iterations for step in self.steps)


@torch.no_grad()
def natural_gradient_head(
    features: Tensor,
    labels: Tensor,
    weights0: Tensor,
    *,
    steps: int = 10,
    damping: float = 1e-3,
    pull: float = 0.1,
    rate: float = 1.0,
    tolerance: float = 0.1,
    cg_iterations: int = 50,
    gradient_tolerance: float = 1e-5,
    preconditioner: PreconditionerName = "auto",
    n_total: int | None = None,
    reduce: Reduce = local,
    callback: Callable[[HeadStep, Tensor], None] | None = None,
) -> HeadFit:
    """Fine-tune a softmax head by natural gradients on features that stay fixed.

    Needs memory for the features, three matrices (n, C) and about ten (C, D),
    and 4·n·C·D operations a CG iteration. Deterministic; every process of
    several gets the same weights.

    Args:
        features: This process's rows of H (n, D), the bias folded in as a
            constant feature; float32 or float64.
        labels: Their classes (n,), integers in 0..C-1.
        weights0: θ0 (C, D).
        steps: The most steps taken.
        damping: λ of the first step, and the lowest λ of any; > 0.
        pull: η_r of the pull towards θ0, weighted by diag(F(θ0)).
        rate: η, the longest share of a solved step that is taken.
        tolerance: Relative residual at which conjugate gradients stop.
        cg_iterations: The most iterations of conjugate gradients in a step.
        gradient_tolerance: Stop at ‖∇L‖ ≤ gradient_tolerance · √(E‖h‖²); the
            gradient of one image's loss is at most √2 ‖h‖.
        preconditioner: ``auto`` for the rule of
            :func:`~ngf_hub.curvature.preconditioners.choose_preconditioner`.
        n_total: Rows over all processes; ``None`` for the rows given.
        reduce: Sums a tensor over the processes.
        callback: Called with each step and the weights after it.

    Returns:
        The weights and what happened on the way.

    Raises:
        MethodError: A label lies outside the classes, a setting is out of
            range, or a value is not finite.
    """
    n = len(features) if n_total is None else n_total
    _check(features, labels, weights0, n=n, damping=damping, pull=pull, rate=rate)
    if preconditioner == "auto":
        preconditioner = choose_preconditioner(n, *weights0.shape)
    basis = FeatureBasis(features, n, reduce) if preconditioner == "kronecker" else None
    small = gradient_tolerance * math.sqrt((reduce(_squares(features)) / n).item())

    weights = weights0.detach().clone()
    logits = features @ weights.T
    fisher = SoftmaxFisher(features, weights, n_total=n, reduce=reduce, logits=logits)
    pull_diagonal = fisher.diagonal().mul_(pull)
    losses = [_cross_entropy(logits, labels, n, reduce)]
    history: list[HeadStep] = []
    lowest, idle, rounding = damping, 0, torch.finfo(weights.dtype).eps
    stopped: Literal["steps", "converged", "stalled"] = "steps"

    for index in range(1, steps + 1):
        gradient = fisher.gradient(labels).addcmul_(pull_diagonal, weights - weights0)
        norm = float(gradient.norm())
        if norm <= small:
            stopped = "converged"
            break
        result = conjugate_gradient(
            _hessian(fisher, pull_diagonal),
            gradient.neg_(),
            damping=damping,
            preconditioner=_preconditioner(preconditioner, fisher, pull_diagonal, basis, damping),
            tolerance=tolerance,
            max_iterations=cg_iterations,
        )
        direction = result.solution
        change = features @ direction.T
        pulled = pull_diagonal * direction
        line = HeadLine(
            logits,
            change,
            labels,
            pull_slope=torch.sum(pulled * (weights - weights0)).item(),
            pull_curvature=torch.sum(pulled * direction).item(),
            n_total=n,
            reduce=reduce,
        )
        taken = search(line, rate)
        weights.add_(direction, alpha=taken.t)
        logits.add_(change, alpha=taken.t)
        losses.append(losses[-1] - taken.decrease)
        history.append(
            HeadStep(
                index,
                losses[-1],
                norm,
                damping,
                taken.t,
                result.iterations,
                result.residual,
            )
        )
        if callback is not None:
            callback(history[-1], weights)
        idle = idle + 1 if taken.decrease <= rounding * abs(losses[-1]) else 0
        if idle == STALLED_AFTER:
            stopped = "stalled"
            break
        damping = _adapted(damping, taken.agreement, lowest)
        del change, line, direction
        fisher = SoftmaxFisher(features, weights, n_total=n, reduce=reduce, logits=logits)
    return HeadFit(weights, tuple(losses), tuple(history), stopped)


def _squares(features: Tensor) -> Tensor:
    """‖H‖²; of more features than fit a temporary beside them, in chunks."""
    if features.numel() <= WHOLE:
        return features.square().sum()
    chunks = row_chunks(*features.shape)
    return torch.stack([features[rows].square().sum() for rows in chunks]).sum()


def _hessian(fisher: SoftmaxFisher, pull_diagonal: Tensor) -> Callable[[Tensor], Tensor]:
    """v ↦ (F + η_r diag(F(θ0))) v."""
    return lambda vector: fisher.matvec(vector).addcmul_(pull_diagonal, vector)


def _preconditioner(
    name: PreconditionerName,
    fisher: SoftmaxFisher,
    pull_diagonal: Tensor,
    basis: FeatureBasis | None,
    damping: float,
) -> Callable[[Tensor], Tensor] | None:
    if basis is not None:
        return kronecker(fisher, basis, damping + float(pull_diagonal.mean()))
    if name == "jacobi":
        return jacobi(fisher.diagonal().add_(pull_diagonal), damping)
    return None


def _adapted(damping: float, agreement: float, lowest: float) -> float:
    """λ for the next step: down where the quadratic model was right, up where it was not."""
    if agreement <= 0:
        return damping * 10
    if agreement < 0.25:
        return damping * 4
    return max(lowest, damping / 3) if agreement > 0.75 else damping


def _cross_entropy(logits: Tensor, labels: Tensor, n: int, reduce: Reduce) -> float:
    """Mean cross-entropy over all processes' rows."""
    total = logits.new_zeros(())
    for rows in row_chunks(*logits.shape):
        total += functional.cross_entropy(logits[rows], labels[rows], reduction="sum")
    loss = (reduce(total) / n).item()
    if not math.isfinite(loss):
        raise MethodError(
            "The model's loss on the clean images is not finite.",
            "Check the weights and images for NaN.",
        )
    return loss


def _check(
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    n: int,
    damping: float,
    pull: float,
    rate: float,
) -> None:
    if n == 0:
        raise MethodError("There are no images to tune on.")
    if features.shape[1] != weights.shape[1] or len(labels) != len(features):
        raise MethodError(
            f"Features {tuple(features.shape)}, labels {tuple(labels.shape)} and weights "
            f"{tuple(weights.shape)} do not fit together."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(weights):
        raise MethodError(
            f"Labels must lie in 0..{len(weights) - 1}, the classes of the head; "
            f"found {int(labels.min())}..{int(labels.max())}."
        )
    for name, value in (("damping", damping), ("rate", rate)):
        if not (math.isfinite(value) and value > 0):
            raise MethodError(f"The {name} must be a positive number, not {value}.")
    if not (math.isfinite(pull) and pull >= 0):
        raise MethodError(f"The pull must be zero or a positive number, not {pull}.")
