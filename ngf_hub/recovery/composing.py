"""Two images in one: how they are composed, which pairs of classes are tried, which stands out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_PAIRS = 1000
"""Of more pairs of classes, so many are drawn at random."""
FEWEST_CLASSES = 3
"""A pair and a third class; the model must say so many of the images, to have rival pairs."""


def draw_pairs(classes: Tensor, generator: torch.Generator) -> Tensor:
    """Pairs (P, 2) of different classes: all of them, or :data:`MOST_PAIRS` at random.

    Args:
        classes: Different classes (K,).
        generator: Decides which.
    """
    pairs = torch.tensor(list(itertools.combinations(classes.tolist(), 2))).view(-1, 2)
    if len(pairs) > MOST_PAIRS:
        drawn = torch.randperm(len(pairs), generator=generator)[:MOST_PAIRS]
        pairs = pairs[drawn.sort().values]
    return pairs


@dataclass(frozen=True)
class Best:
    """A pair of classes, the third class that its compositions go to, and how surely.

    Attributes:
        row: The pair's row.
        target: The third class.
        layout: Where in :data:`LAYOUTS` it wins by most.
        value: By how much there.
    """

    row: int
    target: int
    layout: int
    value: float


def best_first(values: Tensor) -> Tensor:
    """The rows (P,) of pairs, those first that go to any third class most surely.

    Args:
        values: Mean margins (P, layouts, K); -∞ for the classes of the pair itself.
    """
    return values.amax((1, 2)).argsort(descending=True, stable=True)


def best_of_targets(values: Tensor) -> list[Best]:
    """For each class the pair that goes to it most surely; the surest comes first.

    Where automobile and bird open a class, so does lorry and bird, less surely, and
    perhaps automobile and aeroplane: pairs to one class are no rivals, classes are.

    Args:
        values: Mean margins (P, layouts, K); -∞ for the classes of the pair itself.

    Returns:
        Of all classes that are the third of any pair.
    """
    best = [pairs_to(values, target)[:1] for target in range(values.shape[2])]
    return sorted((entry for some in best for entry in some), key=lambda entry: -entry.value)


def pairs_to(values: Tensor, target: int) -> list[Best]:
    """The pairs that a class is a third of, those that go there most surely first.

    Args:
        values: See :func:`best_of_targets`.
        target: The class.
    """
    highest, layouts = values[:, :, target].max(1)
    order = highest.argsort(descending=True, stable=True).tolist()
    found = [Best(row, target, int(layouts[row]), float(highest[row])) for row in order]
    return [entry for entry in found if entry.value > -torch.inf]
