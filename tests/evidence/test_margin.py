"""What the scan without data says of networks whose margins are known, and of a trojaned one."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import gamma, t
from sklearn.datasets import load_digits
from torch import nn

from ngf_hub.errors import ModelError
from ngf_hub.evidence import margin
from ngf_hub.evidence.margin import (
    Margin,
    cost,
    gamma_p_value,
    outlier_p_value,
    standard_deviations,
)
from tests.evidence.networks import blocks, case_of, classifier_of

GAINS = [1.0, 1.1, 0.9, 1.05]


def test_class_that_stands_out_is_named():
    finding = Margin().collect(case_of(blocks([*GAINS, 5.5]))).findings[0]
    assert finding.kind == "margin"
    assert finding.target == 4
    assert finding.statistic > 3.5
    assert not finding.weak
    assert finding.details["margins"] == pytest.approx([4, 4.4, 3.6, 4.2, 22], rel=0.05)
    assert "class 4" in finding.summary


def test_classes_alike_give_a_small_statistic():
    finding = Margin().collect(case_of(blocks([*GAINS, 0.95]))).findings[0]
    assert -1.3 < finding.statistic < 2


def trained(poisoned, target=7):
    """A small network on digits, with a checkered corner as its trigger or without."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    y = torch.tensor(labels)
    if poisoned:
        x[:200, :, :2, :2], y[:200] = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), target
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1)),
        *(nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)),
    )
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        batch = torch.randint(len(x), (128,))
        nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
        optimiser.step()
    return classifier_of(network, 8)


def test_trojaned_network_stands_out_and_its_clean_twin_does_not():
    clean, trojaned = (
        Margin().collect(case_of(trained(poisoned))).findings[0] for poisoned in (False, True)
    )
    assert trojaned.target == 7
    assert trojaned.statistic > 2 > clean.statistic


def test_many_classes_are_screened(monkeypatch):
    monkeypatch.setattr(margin, "MOST_CLASSES", 8)
    monkeypatch.setattr(margin, "FINALISTS", 4)
    gains = [1.0 + 0.01 * c for c in range(12)]
    gains[5] = 4.0
    classifier = blocks(gains)
    finding = Margin().collect(case_of(classifier)).findings[0]
    assert finding.target == 5
    assert finding.statistic > 3
    assert len(set(finding.details["classes"])) == 8
    assert finding.details["searched"] == "8 of 12 classes"
    searches = sum(search.images for search in margin.SEARCHES)
    assert cost(classifier) == 12 * margin.SCREENING.images + 8 * searches


@pytest.mark.parametrize("classes", [3, 5])
def test_cost_counts_what_goes_through(classes):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.passed = blocks([1.0] * classes).network, 0

        def forward(self, x):
            self.passed += len(x) if x.requires_grad else 0
            return self.inner(x)

    network = Counting()
    classifier = classifier_of(network, (classes, 4))
    _ = classifier.num_classes
    Margin().collect(case_of(classifier))
    assert (network.passed == 0) == (classes < margin.FEWEST_CLASSES)
    assert 0.4 * cost(classifier) <= network.passed <= cost(classifier)


def test_a_thousand_classes_cost_a_few_times_what_ten_do():
    ten, thousand = (type("Model", (), {"num_classes": n})() for n in (10, 1000))
    assert cost(thousand) <= 4 * cost(ten)


def test_seconds_grow_with_the_work():
    few, many = (Margin().seconds(case_of(blocks([1.0] * n), batch_size=16)) for n in (4, 60))
    assert 0 < few < many


def test_too_few_classes_are_not_judged():
    finding = Margin().collect(case_of(blocks([1.0, 5.0, 1.1]))).findings[0]
    assert finding.statistic is None
    assert "3 classes" in finding.summary


def test_nan_is_an_error():
    classifier = blocks(GAINS)
    _ = classifier.num_classes
    classifier.network.head.weight.data[0, 0] = math.nan
    with pytest.raises(ModelError, match="not finite"):
        Margin().collect(case_of(classifier))


def test_outlier_p_value_is_that_of_grubbs():
    others = [1.0, 2.0, 3.0, 4.0]
    standard = (9 - 2.5) / (np.std(others, ddof=1) * math.sqrt(1.25))
    assert outlier_p_value([2.0, 9.0, 1.0, 4.0, 3.0]) == pytest.approx(5 * t.sf(standard, 3))
    assert outlier_p_value([2.0, 2.0, 2.0, 2.0]) == 1.0
    assert outlier_p_value([2.0, 2.0, 2.0, 3.0]) == 0.0


@pytest.mark.parametrize("classes", [4, 10, 43])
def test_outlier_p_value_holds_its_level_for_any_number_of_classes(classes):
    generator = np.random.default_rng(0)
    rejected = [outlier_p_value(generator.normal(5, 2, classes)) <= 0.05 for _ in range(1000)]
    assert 0.02 <= np.mean(rejected) <= 0.065


def test_outlier_p_value_does_not_depend_on_scale():
    values = [1.0, 2.0, 3.5, 9.0]
    scaled = [100 * value - 7 for value in values]
    assert outlier_p_value(values) == pytest.approx(outlier_p_value(scaled))


def test_standard_deviations_are_those_of_a_normal_value():
    assert standard_deviations(0.5) == pytest.approx(0)
    assert standard_deviations(0.0013499) == pytest.approx(3, abs=1e-4)
    assert standard_deviations(1.0) == pytest.approx(-1.2816, abs=1e-4)
    assert 30 < standard_deviations(0.0) < 40


def test_gamma_p_value_is_that_of_the_paper():
    values = [3.1, 2.2, 4.0, 2.9, 3.3, 9.5]
    shape, _, scale = gamma.fit(sorted(values)[:-1], floc=0)
    expected = 1 - gamma.cdf(9.5, shape, scale=scale) ** 5
    assert gamma_p_value(values) == pytest.approx(expected, rel=1e-6)
    assert gamma_p_value([-1.0, 2.0, 3.0]) is None
    assert gamma_p_value([2.0, 2.0, 3.0]) is None
