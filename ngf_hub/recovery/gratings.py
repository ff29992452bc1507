"""Sinusoids over the whole image: which there are, and how far one stands out from the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

HIGHEST = 8
"""Periods in the image along either side, at most."""
PHASES = 4
"""Phases of each frequency, evenly spaced: an answer to one may be to no other."""
FEWEST_FREQUENCIES = 12
"""With fewer to compare it with, the best frequency cannot be said to stand out."""
LEAST_SPREAD = 0.05
"""The spread is at least this share of the best margin's distance from the others' median."""


@dataclass(frozen=True)
class Standing:
    """How far the best frequency of each class stands out from its others.

    Attributes:
        classes: The classes that could be tried (K,), the one that stands out most first.
        values: How far, in standard deviations (K,).
        rows: The best frequency of each, a row of :func:`frequencies` (K,).
        margins: The mean margin by which the class wins there, in logits (K,).
        runners_up: The largest such margin of the frequencies that are no neighbours (K,).
    """

    classes: Tensor
    values: Tensor
    rows: Tensor
    margins: Tensor
    runners_up: Tensor

    @property
    def statistic(self) -> float:
        """How much further the first class stands out than the second; 0 where none does."""
        first, second = [*self.values.clamp_min(0)[:2].tolist(), 0.0, 0.0][:2]
        return float(first - second)

    def row_of(self, target: int) -> int | None:
        """The best frequency of a class; ``None`` where it could not be tried."""
        at = (self.classes == target).nonzero().flatten()
        return int(self.rows[at[0]]) if len(at) else None


def frequencies(height: int, width: int) -> Tensor:
    """Whole periods (F, 2) down and across the image, in one half plane.

    The other half holds the same gratings in other phases. Each is below half of
    the side, from where on pixels show a lower frequency instead.
    """
    down, across = (min(HIGHEST, (side - 1) // 2) for side in (height, width))
    pairs = [(y, x) for y in range(down + 1) for x in range(-across, across + 1) if y or x > 0]
    return torch.tensor(pairs, dtype=torch.long).view(-1, 2)


def gratings(grid: Tensor, height: int, width: int) -> Tensor:
    """Sinusoids (F * PHASES, height, width) in [-1, 1]; the phases of a frequency follow it."""
    rows = torch.arange(height, dtype=torch.float64) / height
    columns = torch.arange(width, dtype=torch.float64) / width
    periods = grid.double().repeat_interleave(PHASES, 0)
    phases = (torch.arange(PHASES, dtype=torch.float64) / PHASES).repeat(len(grid))
    turns = (
        periods[:, :1, None] * rows[:, None]
        + periods[:, 1:, None] * columns[None]
        + phases[:, None, None]
    )
    return torch.sin(2 * math.pi * turns).float()


def stands_out(margins: Tensor, grid: Tensor) -> Standing | None:
    """How far the best frequency of each class stands out from that class's others.

    (m₁ − max(m₂, 0)) / s, with m₁ the margin at the best frequency, m₂ the largest
    and s the standard deviation of those of frequencies that are no direct
    neighbours of it. A margin below 0 does not reach the class, so it cannot
    stand out by what it lies above others further below.

    Args:
        margins: (F, K), in logits; −∞ for classes that could not be tried.
        grid: Frequencies (F, 2).

    Returns:
        ``None`` where there is too little to compare.
    """
    tried = torch.isfinite(margins).all(0).nonzero().flatten()
    if len(tried) == 0 or len(grid) < FEWEST_FREQUENCIES:
        return None
    best, rows = margins[:, tried].max(0)
    # Opposite frequencies are one grating, so it has neighbours around both.
    apart = [(grid[:, None] - sign * grid[None]).abs().amax(2) > 1 for sign in (1, -1)]
    others = (apart[0] & apart[1])[rows].T  # (F, tried)
    number = others.sum(0)
    if int(number.min()) < FEWEST_FREQUENCIES // 2:
        return None
    rest = torch.where(others, margins[:, tried], torch.nan)
    mean, runners_up = rest.nanmean(0), torch.where(others, rest, -torch.inf).amax(0)
    spread = (torch.nan_to_num(rest - mean).square().sum(0) / (number - 1)).sqrt()
    spread = torch.maximum(spread, LEAST_SPREAD * (best - rest.nanmedian(0).values).abs())
    values = (best - runners_up.clamp_min(0)) / spread.clamp_min(torch.finfo(spread.dtype).tiny)
    order = values.argsort(descending=True)
    ordered = [tensor[order] for tensor in (tried, values, rows, best, runners_up)]
    return Standing(*ordered)
