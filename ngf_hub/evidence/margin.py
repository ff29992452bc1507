"""Without data: can one class be reached far more easily than every other?

A trigger must outvote whatever else is in an image, so training on it leaves
inputs at which the target's logit stands far above the others. It shows in the
largest margin that any input can give each class (MM-BD), and, for a trigger of
few pixels, in the largest that a small pattern can give it on any image; both
are found without data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ngf_hub.evidence.base import Case, Collected, Evidence, register
from ngf_hub.evidence.margin_search import (
    Ascent,
    SparseAscent,
    maximum_margins,
    sparse_gains,
)
from ngf_hub.evidence.timing import fastest
from ngf_hub.scan_report import Finding

if TYPE_CHECKING:
    from ngf_hub.adapters import Classifier

FEWEST_CLASSES = 4
"""Fewer have no spread to stand out from."""
MOST_CLASSES = 64
"""Up to so many classes are all searched; of more, those that screening leaves."""
FINALISTS = 12
"""How many of the largest margins of the screening are searched, and how many others at random."""
SEARCHES: tuple[Ascent | SparseAscent, ...] = (Ascent(), SparseAscent())
SCREENING = Ascent(starts=1, steps=3)
P_VALUE_RANGE = (1e-300, 0.9)
"""P-values are brought into this before they become standard deviations."""


def outlier_p_value(values: Sequence[float]) -> float:
    """The chance that the largest of K normal values stands out as far (Grubbs, 1950).

    With mean m and standard deviation s of the others,
    t = (x_max − m) / (s √(1 + 1/(K−1))) is Student's with K − 2 degrees of freedom
    for a value that is chosen beforehand; the largest of K has at most K times
    that chance.

    Args:
        values: K ≥ 4 numbers.
    """
    from scipy.stats import t

    *others, largest = sorted(values)
    count = len(others)
    mean = sum(others) / count
    spread = math.sqrt(sum((value - mean) ** 2 for value in others) / (count - 1))
    if largest - mean <= 1e-9 * max(abs(largest), abs(mean)):
        return 1.0
    if spread == 0:
        return 0.0
    standard = (largest - mean) / (spread * math.sqrt(1 + 1 / count))
    return min(1.0, len(values) * float(t.sf(standard, count - 1)))


def standard_deviations(p_value: float) -> float:
    """How many standard deviations above the mean a normal value with this p-value lies."""
    from scipy.stats import norm

    lowest, highest = P_VALUE_RANGE
    return float(norm.isf(min(max(p_value, lowest), highest)))


def gamma_p_value(margins: Sequence[float]) -> float | None:
    """MM-BD's own p-value: the chance that the largest margin is one of the others' kind.

    1 − G(r_max)^(K−1), where the gamma distribution G is fitted to all margins but
    the largest (Wang, Xiang, Miller & Kesidis, IEEE S&P 2024).

    Args:
        margins: The largest margin of each of K ≥ 3 classes.

    Returns:
        ``None`` where the others cannot be fitted: one is not positive, or all are equal.
    """
    from scipy.stats import gamma

    *others, largest = sorted(margins)
    if others[0] <= 0 or math.isclose(others[0], others[-1]):
        return None
    shape, _, scale = gamma.fit(others, floc=0)
    upper = float(gamma.sf(largest, shape, scale=scale))
    # 1 − (1 − upper)^(K−1) without rounding small values to 0.
    return 1.0 if upper >= 1 else -math.expm1(len(others) * math.log1p(-upper))


def cost(classifier: Classifier) -> int:
    """How many images go forward and backward through the model at most."""
    classes = classifier.num_classes
    if classes < FEWEST_CLASSES:
        return 0
    search = sum(search.images for search in SEARCHES)
    if classes <= MOST_CLASSES:
        return classes * search
    return classes * SCREENING.images + 2 * FINALISTS * search


@register
class Margin(Evidence):
    """The largest margins of all classes, and how far the largest of them stands out."""

    name = "margin"
    citation = "Wang, Xiang, Miller & Kesidis, IEEE S&P 2024, arXiv 2205.06900"
    needs_images = False
    uses_images = False

    def collect(self, case: Case) -> Collected:
        """One finding.

        Raises:
            ModelError: Logits or their gradients are not finite.
        """
        count = case.classifier.num_classes
        if count < FEWEST_CLASSES:
            reason = f"The margins of {count} classes have nothing to stand out from."
            return Collected([Finding(kind=self.name, summary=reason)])
        classes = torch.arange(count)
        if count > MOST_CLASSES:
            classes = _finalists(_search(case, classes, SCREENING), case.seed)
        found = [_search(case, classes, search) for search in SEARCHES]
        return Collected([_finding(classes, found, count)])

    def seconds(self, case: Case) -> float | None:
        """From a timed step."""
        images = cost(case.classifier)
        if images == 0:
            return 0.0
        size = min(images, case.batch_size)
        classes, step = torch.zeros(1, dtype=torch.int64), Ascent(size, steps=1)
        return fastest(lambda: maximum_margins(case, classes, step)) * images / size


def _search(case: Case, classes: Tensor, search: Ascent | SparseAscent) -> Tensor:
    """The largest margin (K,) that a search finds for each class."""
    if isinstance(search, SparseAscent):
        return sparse_gains(case, classes, search)
    return maximum_margins(case, classes, search).amax(1)


def _finalists(screened: Tensor, seed: int) -> Tensor:
    """The classes with the largest margins, and as many of the others at random."""
    order = screened.argsort(descending=True)
    first, others = order[:FINALISTS], order[FINALISTS:]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(others), generator=generator)[:FINALISTS]
    return torch.cat([first, others[drawn]]).sort().values


def _finding(classes: Tensor, found: Sequence[Tensor], num_classes: int) -> Finding:
    """The finding from the margins of the searches over all images and small patterns."""
    dense, sparse = (margins.tolist() for margins in found)
    p_values = [outlier_p_value(values) for values in (dense, sparse)]
    first = p_values.index(min(p_values))
    statistic = standard_deviations(p_values[first])
    target = int(classes[found[first].argmax()])
    *_, second, largest = sorted((dense, sparse)[first])
    inputs = ("an image", "a small pattern")[first]
    summary = (
        f"The largest margin that {inputs} can give a class is {largest:.3g}, "
        f"of class {target}; the next class's is {second:.3g} ({statistic:.1f} σ)."
    )
    details = {
        "classes": classes.tolist(),
        "searched": f"{len(classes)} of {num_classes} classes",
        "margins": [_rounded(value) for value in dense],
        "sparse_gains": [_rounded(value) for value in sparse],
        "outlier_p_value": p_values[0],
        "sparse_outlier_p_value": p_values[1],
        "mm_bd_p_value": gamma_p_value(dense),
    }
    return Finding(
        kind=Margin.name, statistic=statistic, target=target, summary=summary, details=details
    )


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
