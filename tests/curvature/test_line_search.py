import math

import pytest
import torch
from torch.nn import functional

from ngf_hub.curvature.line_search import HeadLine, search


def line_of(logits, change, labels, pull=(0.0, 0.0)):
    return HeadLine(
        logits,
        change,
        labels,
        pull_slope=pull[0],
        pull_curvature=pull[1],
        n_total=len(logits),
    )


def random_line(pull=(0.0, 0.0)):
    logits, change = torch.randn(2, 9, 4, dtype=torch.float64)
    return logits, change, torch.randint(4, (9,)), pull


@pytest.mark.parametrize("t", [0.0, 0.3, 2.0])
def test_values_are_those_of_autograd(t):
    logits, change, labels, (slope, curvature) = random_line((-0.4, 0.9))

    def phi(s):
        pull = s * slope + s * s / 2 * curvature
        return functional.cross_entropy(logits + s * change, labels) + pull

    at = torch.tensor(t, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(phi(at), at, create_graph=True)
    (second,) = torch.autograd.grad(first, at)
    point = line_of(logits, change, labels, (slope, curvature))(t)
    assert point.t == t
    assert point.decrease == pytest.approx(float((phi(0.0) - phi(at)).detach()), abs=1e-12)
    assert point.slope == pytest.approx(float(first.detach()))
    assert point.curvature == pytest.approx(float(second))


def test_a_tiny_decrease_is_not_lost_in_float32():
    logits, change, labels, _ = random_line()
    wide = line_of(logits, change, labels)(1e-4).decrease
    narrow = line_of(logits.float(), change.float(), labels)(1e-4).decrease
    assert narrow == pytest.approx(wide, rel=0.02)


def test_stops_at_the_minimum_of_the_line():
    logits, labels = torch.tensor([[0.0, 1.0], [0.0, -1.0]]), torch.tensor([0, 0])
    change = torch.tensor([[8.0, 0.0], [-3.0, 0.0]])
    line = line_of(logits, change, labels)
    found = search(line, 10.0)
    best = max(line(t / 1000).decrease for t in range(3000))
    assert 0 < found.t < 1
    assert found.decrease == pytest.approx(best, rel=0.02)
    assert found.agreement < 0


@pytest.mark.parametrize("longest", [0.5, 1.0])
def test_goes_as_far_as_allowed_where_the_objective_still_falls(longest):
    logits, labels = torch.zeros(1, 3), torch.tensor([2])
    found = search(line_of(logits, torch.tensor([[0.0, 0.0, 0.3]]), labels), longest)
    assert found.t == longest
    assert found.agreement == pytest.approx(1.0, abs=0.05)


def test_does_not_run_away_where_a_saturated_softmax_has_no_curvature():
    """A Newton step for one image that is surely wrong falls all the way, and means nothing."""
    length = math.exp(20.0)
    logits, labels = torch.tensor([[0.0, 20.0]], dtype=torch.float64), torch.tensor([0])
    change = torch.tensor([[length, 0.0]], dtype=torch.float64)
    line = line_of(logits, change, labels)
    assert line(1.0).slope <= 0
    found = search(line)
    assert found.decrease > 10
    assert found.t * length < 400
    assert 0 < found.agreement < 1e-6


def test_takes_no_step_uphill():
    logits, labels = torch.zeros(1, 2), torch.tensor([0])
    found = search(line_of(logits, torch.tensor([[-1.0, 0.0]]), labels))
    assert (found.t, found.decrease) == (0.0, 0.0)
    assert found.agreement < 0
