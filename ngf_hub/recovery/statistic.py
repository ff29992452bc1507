"""How far the class with the smallest change stands out from the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

NORMAL_CONSISTENCY = 1.4826
"""The median absolute deviation times this estimates a normal standard deviation."""


def stands_out(sizes: Sequence[float]) -> float:
    """The logarithm of the runners-up's median size over the smallest size.

    It compares the few classes that a search keeps to its end, which were all
    searched equally long. A ratio, since a spread estimated from a few classes
    says little: with a model that is easily fooled into many classes the sizes
    spread widely, and the anomaly index misses the class that is ten times smaller.

    Args:
        sizes: Of two classes or more, in any order.

    >>> round(stands_out([2.0, 20.0, 21.0, 19.0]), 3) == round(math.log(10), 3)
    True
    """
    smallest, *others = sorted(sizes)
    return math.log(median(others) / smallest)


def anomaly_index(sizes: Sequence[float]) -> float:
    """Neural Cleanse's anomaly index of the smallest size (IEEE S&P 2019, section V.B).

    Its distance from the median over the scaled median absolute deviation; the
    paper flags a model above 2. Zero where it is not below the median.

    Args:
        sizes: Of all classes.
    """
    centre = median(sizes)
    deviation = NORMAL_CONSISTENCY * median(abs(size - centre) for size in sizes)
    distance = centre - min(sizes)
    return distance / deviation if deviation else math.inf if distance else 0.0
