"""P-values from few clean models: their level on simulated ones."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm
from scipy.stats import t as student

from ngf_hub.evidence.null import FEWEST_MODELS, TO_SCALE, TOLD_APART, Null


def p_values_of_new_models(draw, models=15, rounds=400):
    """p-values of one more clean model, from calibrations that are drawn anew."""
    found = []
    for _ in range(rounds):
        values = draw(models + 1)
        null = Null.fit([[value] for value in values[:-1]])
        found.append(null.p_value(values[-1]))
    return np.array(found)


def test_uniform_on_normal_statistics():
    generator = np.random.default_rng(0)
    found = p_values_of_new_models(lambda n: generator.normal(2, 3, n))
    assert kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    "family",
    ["normal", "lognormal", "gamma", "chi-squared", "cut off", "exponential", "gumbel", "t5"],
)
def test_level_holds_in_the_tail(family):
    generator = np.random.default_rng(1)
    draws = {
        "normal": lambda n: generator.normal(size=n),
        "lognormal": lambda n: generator.lognormal(0, 0.8, n),
        "gamma": lambda n: generator.gamma(2, size=n),
        "chi-squared": lambda n: generator.chisquare(1, n),
        "cut off": lambda n: np.maximum(generator.gamma(2, size=n) - 0.8, 0),
        "exponential": lambda n: generator.exponential(size=n),
        "gumbel": lambda n: generator.gumbel(size=n),
        "t5": lambda n: generator.standard_t(5, n),
    }
    found = p_values_of_new_models(draws[family], models=30, rounds=600)
    # 1 % is nominal; heavy tails that 30 values cannot show cost a little.
    assert np.mean(found <= 0.01) <= 0.03


def test_mean_and_spread_are_of_the_predictive_distribution():
    values = norm.ppf(np.linspace(0.03, 0.97, 21))  # as normal as can be, and not all positive
    null = Null.fit([[value] for value in values])
    assert null.scale == "identity"
    expected = student.sf(2 / (values.std(ddof=1) * math.sqrt(1 + 1 / 21)), 20)
    assert null.p_value(2.0) == pytest.approx(expected)


def test_lognormal_statistics_are_taken_on_the_log_scale():
    values = np.exp(norm.ppf(np.linspace(0.03, 0.97, 21)))
    null = Null.fit([[value] for value in values])
    assert null.scale == "log"
    assert null.p_value(-1.0) == null.p_value(0.0) == 1.0
    assert null.p_value(math.exp(2)) == pytest.approx(
        Null.fit([[math.log(value)] for value in values]).p_value(2.0)
    )


def test_squares_are_taken_on_the_scale_of_the_square_root():
    roots = norm.ppf(np.linspace(0.03, 0.97, 21)) + 3
    null = Null.fit([[value] for value in roots**2])
    assert null.scale == "square root"
    assert null.p_value(-1.0) == 1.0
    standard = (6 - roots.mean()) / (roots.std(ddof=1) * math.sqrt(1 + 1 / 21))
    assert null.p_value(36.0) == pytest.approx(student.sf(standard, 20))


def test_of_scales_that_are_about_as_good_the_one_with_the_heavier_tail_is_taken():
    values = np.random.default_rng(0).gamma(8, size=12)  # between a square and an exponential
    null = Null.fit([[value] for value in values])
    fits = {
        scale: Null._on_scale(scale, [[to(value)] for value in values])
        for scale, to in TO_SCALE.items()
    }
    assert fits["log"].normality >= TOLD_APART * max(fit.normality for fit in fits.values())
    assert null.scale == "log"
    assert all(null.p_value(25.0) >= fit.p_value(25.0) for fit in fits.values())


def test_models_at_the_floor_count_as_a_share():
    above = (norm.ppf(np.linspace(0.03, 0.97, 21)) + 3) ** 2
    null = Null.fit([[0.0]] * 9 + [[value] for value in above])
    alone = Null.fit([[value] for value in above])
    assert null.p_value(0.0) == 1.0
    assert null.p_value(36.0) == pytest.approx(22 / 31 * alone.p_value(36.0))
    assert null.p_value(null.threshold(0.01)) == pytest.approx(0.01, rel=1e-3)
    # A statistic that falls below zero is not cut off there.
    assert Null.fit([[0.0]] * 9 + [[-1.0]] + [[value] for value in above]).share == 1


def test_skewed_sample_gets_the_heavier_tail():
    values = [0.0] * 10 + [0.1, -0.2, 0.3, 0.2, 0.1] + [1.0, 2.5, 4.0, 5.5]
    null = Null.fit([[value] for value in values])
    assert null.normality < 0.05
    standard = (9 - null.centre) / (null.spread * math.sqrt(1 + 1 / len(values)))
    assert null.p_value(9.0) > 5 * student.sf(standard, len(values) - 1)


def test_spread_over_seeds_counts():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=20)
    steady = Null.fit([[c, c, c] for c in centres])
    noisy = Null.fit([[c - 2, c, c + 2] for c in centres])
    assert steady.p_value(3.0) < 0.01
    assert noisy.spread == pytest.approx(math.sqrt(steady.spread**2 + 4 * (1 - 1 / 3)))
    assert noisy.p_value(3.0) > 10 * steady.p_value(3.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=FEWEST_MODELS, max_size=40),
    st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=10),
)
def test_p_value_falls_with_the_statistic(values, statistics):
    null = Null.fit([[value] for value in values])
    found = [null.p_value(statistic) for statistic in sorted(statistics)]
    assert all(0 <= p <= 1 for p in found)
    assert all(a >= b - 1e-12 for a, b in pairwise(found))


@pytest.mark.parametrize("values", [[0.1 * i for i in range(20)], [2.0**i for i in range(20)]])
def test_threshold_is_where_the_p_value_is_the_level(values):
    null = Null.fit([[value] for value in values])
    assert null.p_value(null.threshold(0.01)) == pytest.approx(0.01, rel=1e-3)
    assert null.threshold(0.001) > null.threshold(0.01)
    assert Null.fit([[0.0]] * 19).threshold(0.01) == math.inf


def test_too_few_models_give_nothing():
    assert Null.fit([[1.0]] * (FEWEST_MODELS - 1)) is None
    assert Null.fit([]) is None


def test_models_without_spread():
    null = Null.fit([[0.0]] * 19)
    assert null.p_value(0.0) == 1.0
    assert null.p_value(1.0) == pytest.approx(1 / 20)


@pytest.mark.parametrize("bad", [[math.nan], [math.inf], []])
def test_values_that_are_no_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        Null.fit([[1.0]] * 20 + [bad])
