"""The line search along a head's natural-gradient step, which costs no product with the features.

The logits of a head are linear in its weights, so along a step δ they are
Z + t·ΔZ with ΔZ = H δᵀ, and the objective

    φ(t) = CE(Z + t ΔZ) + (η/2) Σᵢ dᵢ (θᵢ + t δᵢ − θ0ᵢ)²

is convex in t and costs n·C operations an evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ngf_hub.curvature.reduction import Reduce, local, row_chunks


@dataclass(frozen=True)
class LinePoint:
    """The objective at one t of the line.

    Attributes:
        t: The step length.
        decrease: φ(0) − φ(t).
        slope: φ'(t).
        curvature: φ''(t).
    """

    t: float
    decrease: float
    slope: float
    curvature: float


class HeadLine:
    """φ(t) − φ(0), φ'(t) and φ''(t) along one step.

    Args:
        logits: Z (n, C) of this process's rows.
        change: ΔZ (n, C).
        labels: Classes (n,).
        pull_slope: η Σᵢ dᵢ (θᵢ − θ0ᵢ) δᵢ, the slope of the pull at t = 0.
        pull_curvature: η Σᵢ dᵢ δᵢ².
        n_total: Rows over all processes.
        reduce: Sums a tensor over the processes.
    """

    def __init__(
        self,
        logits: Tensor,
        change: Tensor,
        labels: Tensor,
        *,
        pull_slope: float,
        pull_curvature: float,
        n_total: int,
        reduce: Reduce = local,
    ) -> None:
        self._logits, self._change, self._labels = logits, change, labels
        self._pull = (pull_slope, pull_curvature)
        self._n, self._reduce = n_total, reduce
        self._start = torch.cat(
            [
                functional.cross_entropy(logits[rows], labels[rows], reduction="none")
                for rows in row_chunks(*logits.shape)
            ]
            or [logits.new_zeros(0)]
        )

    def __call__(self, t: float) -> LinePoint:
        """Evaluate the line at ``t``."""
        # Differences a row, summed in float64 where there is one, so that a
        # small decrease is not lost in two rounded sums.
        wide = torch.float32 if self._logits.device.type == "mps" else torch.float64
        sums = torch.zeros(3, dtype=wide, device=self._logits.device)
        for rows in row_chunks(*self._logits.shape):
            change, labels = self._change[rows], self._labels[rows].unsqueeze(1)
            log_p = torch.add(self._logits[rows], change, alpha=t).log_softmax(1)
            sums[0] += (self._start[rows] + log_p.gather(1, labels).squeeze(1)).sum(dtype=wide)
            p = log_p.exp_()
            mean = torch.linalg.vecdot(p, change).unsqueeze(1)
            sums[1] += (mean - change.gather(1, labels)).sum(dtype=wide)
            sums[2] += p.mul_((change - mean).square_()).sum(dtype=wide)
        decrease, slope, curvature = (self._reduce(sums) / self._n).tolist()
        linear, quadratic = self._pull
        return LinePoint(
            t,
            decrease - t * linear - 0.5 * t * t * quadratic,
            slope + linear + t * quadratic,
            curvature + quadratic,
        )


@dataclass(frozen=True)
class LineStep:
    """What :func:`search` chose.

    Attributes:
        t: The step length; 0 where none lowers the objective.
        decrease: φ(0) − φ(t) ≥ 0.
        agreement: Actual over predicted decrease of the longest step allowed, by which
            a trust region is judged.
    """

    t: float
    decrease: float
    agreement: float


def search(
    line: HeadLine, longest: float = 1.0, *, least_agreement: float = 0.1, evaluations: int = 30
) -> LineStep:
    """The longest t that is not beyond the line's minimum and that the quadratic model foresaw.

    A step is taken only where the objective falls by ``least_agreement`` of
    what the quadratic model at t = 0 predicts. This keeps the weights from
    running far along directions in which saturated softmax outputs leave the
    model no curvature.

    Args:
        line: The objective along the step.
        longest: The longest t allowed.
        least_agreement: The least actual over predicted decrease.
        evaluations: Stop after so many evaluations of the line.
    """
    start = line(0.0)

    def agreement(point: LinePoint) -> float:
        predicted = -point.t * start.slope - 0.5 * point.t**2 * start.curvature
        return point.decrease / predicted if predicted > 0 else -1.0

    if not start.slope < 0:
        return LineStep(0.0, 0.0, -1.0)
    best = LinePoint(0.0, 0.0, start.slope, start.curvature)
    low, high = 0.0, math.inf
    point = line(longest)
    full = agreement(point)
    for _ in range(evaluations):
        trusted = point.decrease > 0 and agreement(point) >= least_agreement
        if trusted and point.decrease > best.decrease:
            best = point
        flat = abs(point.slope) <= 0.1 * abs(start.slope)
        if trusted and (flat or (point.slope < 0 and point.t == longest)):
            break
        if trusted and point.slope < 0:
            low = point.t
        else:
            high = point.t
        if high - low <= 0.1 * low:
            break
        newton = point.t - point.slope / point.curvature if point.curvature > 0 else math.nan
        middle = 0.5 * (low + high) if low > 0 else 0.25 * high
        point = line(newton if low < newton < high else middle)
    return LineStep(best.t, best.decrease, full)
