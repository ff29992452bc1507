import pytest
import torch

from ngf_hub.curvature.linalg import SMALL, damped_inverse, eigh


def psd(groups, size, rank, dtype):
    root = torch.randn(groups, size, rank, dtype=torch.float64)
    return (root @ root.mT / rank).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_of_each_damped_matrix(dtype):
    factor, damping = psd(3, 7, 2, dtype), torch.tensor([0.1, 1.0, 10.0], dtype=dtype)
    damped = factor + damping.view(3, 1, 1) * torch.eye(7, dtype=dtype)
    inverse = damped_inverse(factor, damping)
    assert inverse.dtype is dtype
    identity = torch.eye(7, dtype=dtype).expand(3, 7, 7)
    torch.testing.assert_close(damped @ inverse, identity, atol=1e-4, rtol=0)


def test_the_damping_holds_where_rounding_makes_an_eigenvalue_negative():
    factor = psd(2, 6, 6, torch.float64)
    factor[1] = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, -1e-9]))
    inverse = damped_inverse(factor, torch.full((2,), 1e-10, dtype=torch.float64))
    assert torch.linalg.eigvalsh(inverse).min() > 0
    assert inverse[1, 5, 5] == pytest.approx(1e10)
    torch.testing.assert_close(inverse[0], torch.linalg.inv(factor[0]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [5, SMALL + 1])
def test_eigenvalues_are_not_negative_and_vectors_give_the_matrix_back(size):
    matrix = psd(1, size, 3, torch.float32)[0]
    values, vectors = eigh(matrix)
    assert values.dtype is vectors.dtype is torch.float32
    assert values.min() >= 0
    torch.testing.assert_close((vectors * values) @ vectors.T, matrix, atol=1e-4, rtol=1e-4)
