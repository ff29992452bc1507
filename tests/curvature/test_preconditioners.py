import pytest
import torch

from ngf_hub.curvature import SoftmaxFisher, conjugate_gradient
from ngf_hub.curvature.preconditioners import (
    FeatureBasis,
    choose_preconditioner,
    jacobi,
    kronecker,
)
from tests.curvature.problems import dense_fisher, head_problem, on_processes, relative_error


def make(name, fisher, damping):
    if name == "jacobi":
        return jacobi(fisher.diagonal(), damping)
    return kronecker(fisher, FeatureBasis(fisher.features, fisher.n_total), damping)


@pytest.mark.parametrize("name", ["jacobi", "kronecker"])
@pytest.mark.parametrize(("n", "classes", "features"), [(30, 4, 5), (1, 2, 1), (6, 3, 8)])
def test_the_preconditioned_solution_is_the_dense_one(name, n, classes, features):
    h, labels, weights = head_problem(n, classes, features)
    fisher = SoftmaxFisher(h, weights)
    gradient = fisher.gradient(labels)
    result = conjugate_gradient(
        fisher.matvec,
        gradient,
        damping=1e-2,
        preconditioner=make(name, fisher, 1e-2),
        tolerance=1e-10,
    )
    damped = dense_fisher(h, weights) + 1e-2 * torch.eye(weights.numel(), dtype=torch.float64)
    expected = torch.linalg.solve(damped, gradient.flatten()).view_as(weights)
    assert relative_error(result.solution, expected) < 1e-8


def test_kronecker_is_exact_where_all_images_have_the_same_outputs():
    h, _, weights = head_problem(40, 5, 6)
    weights = torch.zeros_like(weights)
    weights[:, -1] = torch.arange(5)  # only the bias: one softmax for every image
    fisher = SoftmaxFisher(h, weights)
    inverse = make("kronecker", fisher, 0.01)
    vector = torch.randn(5, 6, dtype=torch.float64)
    damped = fisher.matvec(vector).add_(vector, alpha=0.01)
    torch.testing.assert_close(inverse(damped), vector)


def test_kronecker_has_the_trace_of_the_fisher_information():
    h, _, weights = head_problem(30, 3, 4)
    fisher = SoftmaxFisher(h, weights)
    inverse = make("kronecker", fisher, 0.5)
    basis = torch.eye(12, dtype=torch.float64).view(12, 3, 4)
    dense = torch.linalg.inv(torch.stack([inverse(v).flatten() for v in basis]))
    trace = (dense - 0.5 * torch.eye(12, dtype=torch.float64)).trace()
    torch.testing.assert_close(trace, fisher.trace())


def test_jacobi_divides_by_the_damped_diagonal():
    diagonal = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    torch.testing.assert_close(jacobi(diagonal, 0.5)(torch.ones(2, 2)), 1 / (diagonal + 0.5))


def test_kronecker_needs_fewer_iterations_where_images_are_many():
    h, labels, weights = head_problem(400, 3, 12, scale=0.3)
    fisher = SoftmaxFisher(h, weights)
    iterations = {
        name: conjugate_gradient(
            fisher.matvec,
            fisher.gradient(labels),
            damping=1e-3,
            preconditioner=make(name, fisher, 1e-3),
            tolerance=1e-3,
        ).iterations
        for name in ("jacobi", "kronecker")
    }
    assert iterations["kronecker"] < iterations["jacobi"]
    assert choose_preconditioner(400, 3, 12) == "kronecker"
    assert choose_preconditioner(5000, 1000, 2049) == "jacobi"


def test_kronecker_of_shards_is_that_of_one_process():
    h, _, weights = head_problem(10, 3, 4)
    vector = torch.randn(3, 4, dtype=torch.float64)

    def work(rank, reduce):
        rows = [slice(0, 7), slice(7, 10)][rank]
        fisher = SoftmaxFisher(h[rows], weights, n_total=10, reduce=reduce)
        return kronecker(fisher, FeatureBasis(h[rows], 10, reduce), 0.1)(vector)

    expected = make("kronecker", SoftmaxFisher(h, weights), 0.1)(vector)
    for found in on_processes(2, work):
        torch.testing.assert_close(found, expected)
