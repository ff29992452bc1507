import pytest
import torch
from curvlinops import FisherMCLinearOperator, GGNLinearOperator
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from ngf_hub.curvature import SoftmaxFisher, loss_and_gradient, reduction
from tests.curvature.problems import dense_fisher, head_problem, on_processes, relative_error

SIZES = [(7, 3, 4), (5, 2, 1), (1, 4, 3), (1, 2, 1), (12, 10, 6)]


@pytest.mark.parametrize(("n", "classes", "features"), SIZES)
def test_equals_the_definition(n, classes, features):
    h, _, weights = head_problem(n, classes, features)
    dense = dense_fisher(h, weights)
    fisher = SoftmaxFisher(h, weights)
    vector = torch.randn(classes, features, dtype=torch.float64)
    product = fisher.matvec(vector)
    assert relative_error(product.flatten(), dense @ vector.flatten()) < 1e-10
    assert relative_error(fisher.diagonal().flatten(), dense.diagonal()) < 1e-10
    assert relative_error(fisher.trace(), dense.trace()) < 1e-10


@pytest.mark.parametrize(("n", "classes", "features"), SIZES)
def test_loss_and_gradient_are_those_of_autograd(n, classes, features):
    h, labels, weights = head_problem(n, classes, features)
    w = weights.clone().requires_grad_(True)
    expected = functional.cross_entropy(h @ w.T, labels)
    expected.backward()
    loss, gradient = loss_and_gradient(h, labels, weights)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, w.grad)
    torch.testing.assert_close(SoftmaxFisher(h, weights).gradient(labels), w.grad)


def test_equals_curvlinops_ggn_and_sampled_fisher():
    h, labels, weights = head_problem(20, 4, 5)
    layer = nn.Linear(5, 4, bias=False).double()
    layer.weight.data.copy_(weights)
    arguments = (layer, nn.CrossEntropyLoss(), list(layer.parameters()), [(h, labels)])
    vector = torch.randn(4, 5, dtype=torch.float64)
    product = SoftmaxFisher(h, weights).matvec(vector)
    ggn = GGNLinearOperator(*arguments) @ vector.flatten()
    assert relative_error(product.flatten(), ggn) < 1e-10
    sampled = FisherMCLinearOperator(*arguments, mc_samples=1000) @ vector.flatten()
    assert relative_error(product.flatten(), sampled) < 0.1


def test_float32_is_close_to_float64_for_sharp_outputs():
    h, _, weights = head_problem(50, 6, 8, scale=5.0)
    vector = torch.randn(6, 8, dtype=torch.float64)
    wide = SoftmaxFisher(h, weights)
    narrow = SoftmaxFisher(h.float(), weights.float())
    assert narrow.matvec(vector.float()).dtype is torch.float32
    assert relative_error(narrow.matvec(vector.float()).double(), wide.matvec(vector)) < 1e-4
    assert relative_error(narrow.diagonal().double(), wide.diagonal()) < 1e-4


def test_known_logits_give_the_same_operator():
    h, _, weights = head_problem(9, 3, 4)
    vector = torch.randn(3, 4, dtype=torch.float64)
    given = SoftmaxFisher(h, weights, logits=h @ weights.T)
    torch.testing.assert_close(given.matvec(vector), SoftmaxFisher(h, weights).matvec(vector))


def test_no_graph_is_built_for_weights_that_require_gradients():
    h, labels, weights = head_problem(6, 3, 4)
    parameter = torch.nn.Parameter(weights)
    fisher = SoftmaxFisher(h, parameter)
    loss, gradient = loss_and_gradient(h, labels, parameter)
    given = SoftmaxFisher(h, parameter, logits=h @ parameter.T)
    made = (fisher.probabilities, given.probabilities, loss, gradient)
    assert not any(tensor.requires_grad for tensor in made)


class LargestResult(TorchDispatchMode):
    """Records the elements of the largest result that does not share an argument's memory."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
        if isinstance(result, torch.Tensor) and result.untyped_storage().data_ptr() not in given:
            self.elements = max(self.elements, result.numel())
        return result


def test_temporaries_stay_within_the_bound_and_chunks_change_nothing(monkeypatch):
    h, labels, weights = head_problem(100, 6, 5)
    vector = torch.randn(6, 5, dtype=torch.float64)
    whole = SoftmaxFisher(h, weights)
    expected = (whole.matvec(vector), whole.diagonal(), whole.trace(), whole.gradient(labels))
    expected_loss = loss_and_gradient(h, labels, weights)
    monkeypatch.setattr(reduction, "MAX_TEMPORARY", 60)
    fisher = SoftmaxFisher(h, weights)
    with LargestResult() as largest:
        found = (
            fisher.matvec(vector),
            fisher.diagonal(),
            fisher.trace(),
            fisher.gradient(labels),
        )
        found_loss = loss_and_gradient(h, labels, weights)
    assert largest.elements <= 60
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_loss, expected_loss)


def test_shards_give_what_one_process_gives():
    h, labels, weights = head_problem(11, 4, 3)
    vector = torch.randn(4, 3, dtype=torch.float64)

    def everything(rows, **sharding):
        fisher = SoftmaxFisher(h[rows], weights, **sharding)
        return (
            fisher.matvec(vector),
            fisher.diagonal(),
            fisher.trace(),
            fisher.gradient(labels[rows]),
            *loss_and_gradient(h[rows], labels[rows], weights, **sharding),
        )

    def work(rank, reduce):
        rows = [slice(0, 8), slice(8, 11), slice(11, 11)][rank]  # uneven, one empty
        return everything(rows, n_total=11, reduce=reduce)

    expected = everything(slice(None))
    for found in on_processes(3, work):
        torch.testing.assert_close(found, expected)
