"""The distribution of a statistic over clean models, from few of them.

An empirical p-value of 30 models cannot fall below 1/31. The tails here go
further, and say of a small sample only what it can bear: they are predictive
distributions of one more model, so that the uncertainty of mean and spread is
in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, variance

FEWEST_MODELS = 8
"""Below this no p-value is given."""
NORMALITY_LEVEL = 0.05
"""Shapiro and Wilk's test at this level decides whether a normal tail is trusted."""
TOLD_APART = 0.5
"""A scale whose test's p-value is this share of the best one's is as good."""
FLOOR = 0.0
"""What a statistic is where it is cut off, since nothing stood out at all."""
TO_SCALE: dict[str, Callable[[float], float]] = {
    "identity": float,
    "square root": math.sqrt,
    "log": math.log,
}
"""Tukey's ladder of powers (Exploratory Data Analysis, 1977), from the top down."""
FROM_SCALE: dict[str, Callable[[float], float]] = {
    "identity": float,
    "square root": lambda value: max(value, 0.0) ** 2,
    "log": math.exp,
}


@dataclass(frozen=True)
class Null:
    """What a statistic is on clean models.

    Attributes:
        scale: A key of :data:`TO_SCALE`: on which scale it is closest to normal.
        centre: Its mean on that scale.
        spread: Its standard deviation on that scale, between models and within
            a model (over seeds).
        models: The number of models.
        normality: The p-value of Shapiro and Wilk's test on that scale.
        middle: The median on that scale.
        excess: The mean of what the values above the median are above it.
        above: The number of these.
        share: The predictive share of clean models above the floor; 1 where no model is
            at the floor. All else is of the models above it.
    """

    scale: str
    centre: float
    spread: float
    models: int
    normality: float
    middle: float
    excess: float
    above: int
    share: float = 1.0

    @classmethod
    def fit(cls, values: Sequence[Sequence[float]]) -> Null | None:
        """From a statistic of clean models.

        Args:
            values: For each model its values, one a seed; all finite.

        Returns:
            ``None`` where there are too few models to say anything.

        Raises:
            ValueError: A value is not finite, or a model has none.
        """
        if any(not seeds or not all(map(math.isfinite, seeds)) for seeds in values):
            raise ValueError("every clean model needs finite values of the statistic")
        if len(values) < FEWEST_MODELS:
            return None
        lifted = [seeds for seeds in values if any(value != FLOOR for value in seeds)]
        smallest = min(value for seeds in values for value in seeds)
        if smallest == FLOOR and FEWEST_MODELS <= len(lifted) < len(values):
            share = (len(lifted) + 1) / (len(values) + 1)
            return replace(cls._closest_to_normal(lifted), share=share)
        return cls._closest_to_normal(values)

    @classmethod
    def _closest_to_normal(cls, values: Sequence[Sequence[float]]) -> Null:
        fits = []
        for scale, convert in TO_SCALE.items():
            try:
                fits.append(cls._on_scale(scale, [list(map(convert, seeds)) for seeds in values]))
            except ValueError:  # a value below all that has a root or a logarithm
                continue
        # So few models hardly tell scales apart whose test is about as good; of these the
        # one with the heaviest upper tail, the lowest on the ladder, is the safe one.
        best = max(fit.normality for fit in fits)
        return [fit for fit in fits if fit.normality >= TOLD_APART * best][-1]

    @classmethod
    def _on_scale(cls, scale: str, values: Sequence[Sequence[float]]) -> Null:
        means = [fmean(seeds) for seeds in values]
        repeated = [seeds for seeds in values if len(seeds) > 1]
        # The mean over S seeds hides (1 − 1/S) of the spread within a model, and a scan has one.
        within = fmean(
            variance(seeds) * (1 - 1 / len(seeds)) if len(seeds) > 1 else 0.0 for seeds in values
        )
        middle = median(means)
        above = [mean - middle for mean in means if mean > middle]
        return cls(
            scale=scale,
            centre=fmean(means),
            spread=math.sqrt(variance(means) + (within if repeated else 0.0)),
            models=len(means),
            normality=_normality(means),
            middle=middle,
            excess=fmean(above) if above else 0.0,
            above=len(above),
        )

    def p_value(self, statistic: float) -> float:
        """The chance that one more clean model has such a statistic or a higher one.

        The upper tail of Student's t predictive distribution, with n − 1 degrees of
        freedom at (x − mean) / (s √(1 + 1/n)). Where the sample does not look
        normal on any scale, at least the tail of an exponential distribution
        fitted above the median, again predictive: ½ (1 + y / (k m))⁻ᵏ for k values
        there with mean excess m, at y above the median.

        Args:
            statistic: A finite number; higher is more suspicious.
        """
        if self.share < 1 and statistic <= FLOOR:
            return 1.0
        try:
            value = TO_SCALE[self.scale](statistic)
        except ValueError:  # below all that has a root or a logarithm
            return 1.0
        return self.share * self._tail(value)

    def threshold(self, level: float) -> float:
        """The statistic from which on the p-value is at most ``level``.

        Args:
            level: Between 0 and the p-value of the centre.

        Returns:
            Infinity where no statistic is as significant, for want of models.
        """
        from scipy.optimize import brentq

        width = max(self.spread, 1e-12)
        highest = self.centre + 1e6 * width
        if self.share * self._tail(highest) > level:
            return math.inf
        value = float(
            brentq(lambda x: self.share * self._tail(x) - level, self.centre, highest, xtol=1e-12)
        )
        return FROM_SCALE[self.scale](value)

    def _tail(self, value: float) -> float:
        """The p-value of a value on the distribution's own scale."""
        from scipy.stats import t

        if self.spread == 0:
            return 1.0 if value <= self.centre else 1 / (self.models + 1)
        standard = (value - self.centre) / (self.spread * math.sqrt(1 + 1 / self.models))
        normal = float(t.sf(standard, self.models - 1))
        if self.normality >= NORMALITY_LEVEL or self.excess == 0:
            return normal
        y = value - self.middle
        if y <= 0:
            return max(normal, 0.5)
        exponential = 0.5 * (1 + y / (self.above * self.excess)) ** -self.above
        return float(max(normal, exponential))


def _normality(values: Sequence[float]) -> float:
    """The p-value of Shapiro and Wilk's test; 0 for a sample without spread."""
    from scipy.stats import shapiro

    # Values that are equal within rounding are a spread that the test warns of.
    if math.isclose(min(values), max(values), abs_tol=1e-12):
        return 0.0
    return float(shapiro(values).pvalue)
