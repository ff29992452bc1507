import math

import pytest
import torch
from torch.nn import functional

from ngf_hub.curvature import loss_and_gradient, natural_gradient_head
from ngf_hub.errors import MethodError
from tests.curvature.problems import (
    dense_fisher,
    head_problem,
    objective,
    on_processes,
    relative_error,
)

EXACT = {"tolerance": 1e-10, "cg_iterations": 500}


def dense_step(h, labels, weights, weights0, damping, pull):
    """−(F(θ) + η diag(F(θ0)) + λI)⁻¹ ∇L(θ) by dense algebra and autograd."""
    w = weights.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(objective(h, labels, w, weights0, pull), w)
    diagonal = dense_fisher(h, weights0).diagonal()
    matrix = dense_fisher(h, weights) + torch.diag(pull * diagonal + damping)
    return -torch.linalg.solve(matrix, gradient.flatten()).view_as(weights)


def mostly_wrong_and_saturated(seed=0):
    """A head that is sure of wrong classes: its Fisher information is all but zero."""
    return head_problem(40, 4, 6, scale=6.0, seed=seed)


@pytest.mark.parametrize("preconditioner", ["jacobi", "kronecker", "none"])
@pytest.mark.parametrize("pull", [0.0, 0.7])
def test_steps_are_those_of_dense_algebra(preconditioner, pull):
    h, labels, weights0 = head_problem(30, 3, 4, scale=0.2)
    fit = natural_gradient_head(
        h,
        labels,
        weights0,
        steps=3,
        damping=0.5,
        pull=pull,
        preconditioner=preconditioner,
        **EXACT,
    )
    assert [step.length for step in fit.steps] == [1.0] * 3
    weights = weights0
    for _ in range(3):
        weights = weights + dense_step(h, labels, weights, weights0, 0.5, pull)
    assert relative_error(fit.weights - weights0, weights - weights0) < 1e-7


def test_the_rate_scales_the_step():
    h, labels, weights0 = head_problem(30, 3, 4, scale=0.2)
    fit = natural_gradient_head(h, labels, weights0, steps=1, damping=0.5, rate=0.25, **EXACT)
    expected = 0.25 * dense_step(h, labels, weights0, weights0, 0.5, 0.1)
    assert relative_error(fit.weights - weights0, expected) < 1e-7


@pytest.mark.parametrize("seed", range(4))
def test_never_rises_where_the_plain_step_diverges(seed):
    h, labels, weights0 = mostly_wrong_and_saturated(seed)
    damping, pull = 1e-8, 0.1
    start = float(objective(h, labels, weights0, weights0, pull))

    plain = weights0 + dense_step(h, labels, weights0, weights0, damping, pull)
    assert float(objective(h, labels, plain, weights0, pull)) > 100 * start
    assert float((plain - weights0).norm()) > 1000

    fit = natural_gradient_head(h, labels, weights0, steps=15, damping=damping, pull=pull)
    assert all(after < before for before, after in zip(fit.losses, fit.losses[1:], strict=False))
    assert fit.losses[0] == pytest.approx(start)
    assert fit.losses[-1] < 0.2 * start
    assert float((fit.weights - weights0).norm()) < 3 * float(weights0.norm())


def test_damping_rises_after_a_bad_step_and_falls_back_no_lower_than_given():
    h, labels, weights0 = mostly_wrong_and_saturated()
    fit = natural_gradient_head(h, labels, weights0, steps=30, damping=1e-4)
    dampings = [step.damping for step in fit.steps]
    assert dampings[0] == min(dampings) == 1e-4
    assert max(dampings) > 1e-4
    assert dampings[-1] < max(dampings)


@pytest.mark.parametrize("pull", [0.0, 0.3])
def test_converges_to_the_minimum_of_the_objective(pull):
    h, labels, weights0 = head_problem(60, 3, 4, scale=2.0)
    fit = natural_gradient_head(
        h, labels, weights0, steps=100, damping=1e-6, pull=pull, gradient_tolerance=1e-9
    )
    assert fit.stopped == "converged"
    assert len(fit.steps) < 30
    w = fit.weights.clone().requires_grad_(True)
    loss = objective(h, labels, w, weights0, pull)
    (gradient,) = torch.autograd.grad(loss, w)
    assert float(gradient.norm()) < 1e-7
    assert fit.losses[-1] == pytest.approx(float(loss.detach()), rel=1e-9)


def test_the_pull_holds_the_weights_where_the_old_model_is_sensitive():
    h, labels, weights0 = head_problem(30, 3, 4)
    free = natural_gradient_head(h, labels, weights0, steps=20, pull=0.0)
    held = natural_gradient_head(h, labels, weights0, steps=20, pull=1000.0)
    diagonal = dense_fisher(h, weights0).diagonal().view_as(weights0)

    def moved(fit):
        return float((diagonal * (fit.weights - weights0).square()).sum())

    assert moved(held) < 0.01 * moved(free)


def test_functions_do_not_depend_on_a_linear_change_of_the_features():
    h, labels, weights0 = head_problem(60, 3, 5, scale=0.5)
    transform = torch.eye(5, dtype=torch.float64) + 0.4 * torch.randn(5, 5, dtype=torch.float64)
    assert relative_error(transform @ transform.T, torch.eye(5, dtype=torch.float64)) > 0.3
    other_h = h @ transform.T
    other_weights0 = weights0 @ torch.linalg.inv(transform)
    settings = {"steps": 1, "damping": 1e-11, "pull": 0.0, "tolerance": 1e-9}
    one = natural_gradient_head(h, labels, weights0, cg_iterations=500, **settings)
    other = natural_gradient_head(other_h, labels, other_weights0, cg_iterations=500, **settings)

    def change(features, weights, start):
        logits = features @ (weights - start).T
        return logits - logits.mean(1, keepdim=True)  # a shift of all logits changes nothing

    expected = change(h, one.weights, weights0)
    assert relative_error(change(other_h, other.weights, other_weights0), expected) < 1e-5

    # The ordinary gradient, by contrast, does depend on it.
    plain = change(h, -loss_and_gradient(h, labels, weights0)[1], 0)
    moved = change(other_h, -loss_and_gradient(other_h, labels, other_weights0)[1], 0)
    assert relative_error(moved, plain) > 0.1


def test_is_deterministic_and_leaves_its_arguments_alone():
    h, labels, weights0 = mostly_wrong_and_saturated()
    before = weights0.clone()
    first = natural_gradient_head(h, labels, weights0)
    second = natural_gradient_head(h, labels, weights0)
    assert torch.equal(first.weights, second.weights)
    assert first.losses == second.losses
    assert torch.equal(weights0, before)


def test_shards_give_what_one_process_gives():
    h, labels, weights0 = head_problem(23, 3, 4, scale=2.0)
    single = natural_gradient_head(h, labels, weights0, steps=6, damping=1e-4)

    def work(rank, reduce):
        rows = slice(rank, 23, 2)
        return natural_gradient_head(
            h[rows], labels[rows], weights0, steps=6, damping=1e-4, n_total=23, reduce=reduce
        )

    one, other = on_processes(2, work)
    assert torch.equal(one.weights, other.weights)
    torch.testing.assert_close(one.weights, single.weights, rtol=1e-6, atol=1e-8)
    assert one.losses == pytest.approx(single.losses, rel=1e-8)


def test_float32_reaches_what_float64_reaches():
    h, labels, weights0 = mostly_wrong_and_saturated()
    wide = natural_gradient_head(h, labels, weights0, steps=40, damping=1e-5)
    narrow = natural_gradient_head(h.float(), labels, weights0.float(), steps=40, damping=1e-5)
    assert narrow.weights.dtype is torch.float32
    assert narrow.losses[-1] == pytest.approx(wide.losses[-1], rel=0.01)
    final = objective(h, labels, narrow.weights.double(), weights0, 0.1)
    assert narrow.losses[-1] == pytest.approx(float(final), rel=1e-4)


@pytest.mark.parametrize(("n", "classes", "features"), [(1, 2, 1), (1, 5, 3), (4, 2, 1), (3, 2, 8)])
def test_tiny_problems(n, classes, features):
    h, labels, weights0 = head_problem(n, classes, features)
    fit = natural_gradient_head(h, labels, weights0, steps=5)
    assert fit.weights.shape == weights0.shape
    assert fit.weights.isfinite().all()
    assert fit.losses[-1] < fit.losses[0]


def test_stops_at_once_where_there_is_nothing_to_gain():
    h, _, weights0 = head_problem(10, 2, 3)
    weights0 = torch.zeros_like(weights0)
    balanced = torch.cat([h, h]), torch.arange(2).repeat_interleave(10)
    fit = natural_gradient_head(*balanced, weights0)
    assert (fit.stopped, fit.steps) == ("converged", ())
    assert fit.losses == (pytest.approx(math.log(2)),)


def test_stops_where_rounding_leaves_nothing_to_gain():
    h, labels, weights0 = head_problem(30, 3, 4, dtype=torch.float32)
    fit = natural_gradient_head(h, labels, weights0, steps=500, gradient_tolerance=0.0)
    assert fit.stopped == "stalled"
    assert len(fit.steps) < 500
    assert all(after <= before for before, after in zip(fit.losses, fit.losses[1:], strict=False))


def test_parameters_that_require_gradients_are_only_read():
    h, labels, weights0 = head_problem(20, 3, 4)
    expected = natural_gradient_head(h, labels, weights0, steps=2)
    parameter = torch.nn.Parameter(weights0)
    fit = natural_gradient_head(h.requires_grad_(), labels, parameter, steps=2)
    assert not fit.weights.requires_grad
    assert torch.equal(fit.weights, expected.weights)


def test_tells_each_step_to_the_callback():
    h, labels, weights0 = head_problem(20, 3, 4)
    told = []
    fit = natural_gradient_head(
        h, labels, weights0, steps=4, callback=lambda step, w: told.append((step, w.clone()))
    )
    assert tuple(step for step, _ in told) == fit.steps
    assert [step.index for step in fit.steps] == [1, 2, 3, 4]
    assert torch.equal(told[-1][1], fit.weights)
    assert fit.cg_iterations == sum(step.cg_iterations for step in fit.steps) > 0
    cross_entropy = float(functional.cross_entropy(h @ told[0][1].T, labels))
    assert cross_entropy < fit.losses[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.tensor([0, 3])}, "Labels must lie in 0..2"),
        ({"labels": torch.tensor([-1, 0])}, "Labels must lie in 0..2"),
        ({"labels": torch.tensor([0])}, "do not fit together"),
        ({"damping": 0.0}, "damping must be a positive"),
        ({"damping": float("nan")}, "damping must be a positive"),
        ({"rate": -1.0}, "rate must be a positive"),
        ({"pull": -0.1}, "pull must be zero or"),
        ({"weights0": torch.full((3, 4), float("nan"))}, "not finite"),
        ({"features": torch.zeros(0, 4), "labels": torch.zeros(0).long()}, "no images"),
    ],
)
def test_what_cannot_be_done_is_a_clear_error(change, message):
    arguments = {
        "features": torch.ones(2, 4),
        "labels": torch.tensor([0, 1]),
        "weights0": torch.zeros(3, 4),
    }
    with pytest.raises(MethodError, match=message):
        natural_gradient_head(**(arguments | change))
