import pytest
import torch

from ngf_hub.curvature import conjugate_gradient
from ngf_hub.errors import MethodError


def spd(size, smallest=0.1, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    values = torch.linspace(smallest, 3.0, size, dtype=torch.float64)
    return (q * values @ q.T).to(dtype)


def as_operator(matrix, shape):
    return lambda v: (matrix @ v.flatten()).view(shape)


@pytest.mark.parametrize("shape", [(15,), (3, 5), (5, 1, 3)])
@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_solves_tensors_of_any_shape(shape, damping):
    a, b = spd(15), torch.randn(shape, dtype=torch.float64)
    result = conjugate_gradient(as_operator(a, shape), b, damping=damping, tolerance=1e-10)
    damped = a + damping * torch.eye(15, dtype=torch.float64)
    expected = torch.linalg.solve(damped, b.flatten()).view(shape)
    torch.testing.assert_close(result.solution, expected)
    assert result.converged
    assert result.iterations <= 16


def test_reports_the_true_residual_and_stops_at_the_limit():
    a, b = spd(40, 1e-3), torch.ones(40, dtype=torch.float64)
    result = conjugate_gradient(as_operator(a, (40,)), b, tolerance=1e-12, max_iterations=7)
    true = (b - a @ result.solution).norm() / b.norm()
    assert result.iterations == 7
    assert not result.converged
    assert result.residual == pytest.approx(float(true), rel=1e-6)
    assert torch.dot(result.solution, b) > 0  # a descent direction though unfinished


def test_stops_as_soon_as_the_tolerance_is_met():
    a, b = spd(40, 1e-3), torch.ones(40, dtype=torch.float64)
    loose = conjugate_gradient(as_operator(a, (40,)), b, tolerance=0.3)
    tight = conjugate_gradient(as_operator(a, (40,)), b, tolerance=1e-6)
    assert loose.iterations < tight.iterations
    assert tight.residual <= 1e-6 < loose.residual <= 0.3


def test_the_exact_preconditioner_needs_one_iteration():
    a, b = spd(20, 1e-4), torch.randn(20, dtype=torch.float64)
    inverse = torch.linalg.inv(a)
    result = conjugate_gradient(
        as_operator(a, (20,)), b, preconditioner=lambda v: inverse @ v, tolerance=1e-8
    )
    assert result.iterations == 1


def test_a_zero_right_hand_side_needs_no_iteration():
    result = conjugate_gradient(lambda v: v, torch.zeros(3))
    assert (result.iterations, result.residual, result.converged) == (0, 0.0, True)
    assert not result.solution.any()


def test_a_consistent_singular_system_is_solved_in_float32():
    a = spd(10, dtype=torch.float32)
    a[:, 0] = a[0, :] = 0
    b = a @ torch.ones(10)
    result = conjugate_gradient(as_operator(a, (10,)), b, tolerance=0.0, max_iterations=200)
    torch.testing.assert_close(a @ result.solution, b, rtol=1e-4, atol=1e-5)


def test_negative_curvature_is_an_error():
    a = spd(6)
    a -= 2 * torch.eye(6, dtype=torch.float64)
    with pytest.raises(MethodError, match="not positive definite"):
        conjugate_gradient(as_operator(a, (6,)), torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_errors(bad):
    rhs = torch.ones(4)
    with pytest.raises(MethodError, match="not finite"):
        conjugate_gradient(lambda v: v * bad, rhs)
    with pytest.raises(MethodError, match="not finite"):
        conjugate_gradient(lambda v: v, rhs * bad)
    with pytest.raises(MethodError, match="not finite"):
        conjugate_gradient(lambda v: v, rhs, preconditioner=lambda v: v * bad)
