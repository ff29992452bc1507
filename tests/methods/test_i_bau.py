"""The implicit gradient is the gradient of the outer loss at the inner solution."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ngf_hub.adapters import load_model
from ngf_hub.methods import make_method
from ngf_hub.methods.hypergradient import hypergradient
from ngf_hub.methods.objective import Labelled
from tests.methods.networks import SIDE, make_task


def problem():
    """A strongly convex inner loss in δ (3), and an outer one, of parameters θ (4)."""
    torch.manual_seed(0)
    mixing, target = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)

    def inner(delta, theta):
        return (delta - (mixing @ theta).tanh()).square().sum() + 0.1 * delta.pow(4).sum()

    def outer(delta, theta):
        return (delta - target).square().sum() + (delta.sum() * theta).sin().sum()

    return inner, outer, torch.randn(4, dtype=torch.float64)


def solved(inner, theta):
    delta = torch.zeros(3, dtype=torch.float64)
    for _ in range(200):
        delta = delta.detach().requires_grad_()
        (slope,) = torch.autograd.grad(inner(delta, theta), delta)
        delta = delta - 0.1 * slope
    return delta.detach()


def test_the_hypergradient_is_that_of_brute_force():
    inner, outer, theta = problem()
    expected = torch.zeros_like(theta)
    for place in range(4):
        ends = []
        for side in (1e-5, -1e-5):
            moved = theta.clone()
            moved[place] += side
            ends.append(float(outer(solved(inner, moved), moved)))
        expected[place] = (ends[0] - ends[1]) / 2e-5
    parameter = theta.clone().requires_grad_()
    (found,), value = hypergradient(
        lambda delta: inner(delta, parameter),
        lambda delta: outer(delta, parameter),
        solved(inner, theta),
        [parameter],
        rate=0.1,
        iterations=200,
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    assert float(value) == pytest.approx(float(outer(solved(inner, theta), theta)))
    # Without the inner problem's answer it would be another.
    (direct,) = torch.autograd.grad(outer(solved(inner, theta), parameter), parameter)
    assert float((direct - expected).norm()) > 0.1 * float(expected.norm())


def test_more_iterations_come_nearer():
    inner, outer, theta = problem()
    parameter, delta = theta.clone().requires_grad_(), solved(inner, theta)

    def found(iterations):
        gradients, _ = hypergradient(
            lambda d: inner(d, parameter),
            lambda d: outer(d, parameter),
            delta,
            [parameter],
            rate=0.1,
            iterations=iterations,
        )
        return gradients[0]

    limit = found(500)
    errors = [float((found(iterations) - limit).norm()) for iterations in (0, 5, 20)]
    assert errors[0] > errors[1] > errors[2]


def softmax_regression():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4))
    task = make_task(load_model(network, size=SIDE))
    make_method("ft", {"steps": 8, "batch_size": 64, "augment": 0}).tune(task)
    return task


def loss_under(task, delta):
    with torch.no_grad():
        logits = task.classifier(task.pixels.pixels + delta)
    return float(functional.cross_entropy(logits, task.pixels.labels))


def worst(task):
    method = make_method(
        "i-bau", {"steps": 12, "batch_size": 48, "radius": 4.0, "ascent_rate": 100}
    )
    return method._perturbation(task, Labelled(task))


def test_the_perturbation_raises_the_loss_within_its_radius():
    task = softmax_regression()
    delta = worst(task)
    # The radius is stated for images of 3x32x32 pixels; these have a quarter of them.
    assert float(delta.norm()) == pytest.approx(4.0 / 2)
    random = torch.randn(delta.shape, generator=torch.Generator().manual_seed(0))
    random *= delta.norm() / random.norm()
    assert loss_under(task, delta) > 1.3 * loss_under(task, 0 * delta)
    assert loss_under(task, delta) > 1.3 * loss_under(task, random)


def test_the_model_unlearns_a_perturbation_of_all_images():
    """After it the worst perturbation, found anew, does less harm."""
    task = softmax_regression()
    before = loss_under(task, worst(task))
    options = {"rounds": 3, "steps": 8, "batch_size": 48, "portion": 1.0, "radius": 4.0}
    options |= {"ascent_rate": 100}
    outcome = make_method("i-bau", options).tune(task)
    assert loss_under(task, worst(task)) < 0.7 * before
    assert len(outcome.diagnostics["perturbation_norms"]) == 3
    assert outcome.steps == 24
