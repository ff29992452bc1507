import copy

import pytest
import torch
from curvlinops import KFACLinearOperator
from torch import nn

from ngf_hub.curvature import KFAC, SoftmaxFisher, sample_labels
from ngf_hub.errors import MethodError
from tests.curvature.networks import conv_and_tokens, gradients, random_like, tunable
from tests.curvature.problems import on_processes, relative_error


def images(count, channels=2, size=5):
    return torch.randn(count, channels, size, size, dtype=torch.float64)


@pytest.mark.parametrize("bias", [True, False])
def test_equals_curvlinops_with_weight_sharing(bias):
    network, x = conv_and_tokens(bias=bias), images(6)
    kfac = KFAC(tunable(network))
    kfac.update(network, x, fisher="type-2")
    reference = KFACLinearOperator(
        network,
        nn.CrossEntropyLoss(),
        list(network.parameters()),
        [(x, torch.zeros(6).long())],
        fisher_type="type-2",
        kfac_approx="expand",
        separate_weight_and_bias=False,
    )
    vectors = random_like(network)
    expected = reference @ list(vectors.values())
    products = kfac.matvec(vectors)
    for (parameter, _), reference_product in zip(vectors.items(), expected, strict=True):
        assert relative_error(products[parameter], reference_product) < 1e-10


def test_is_the_exact_fisher_information_of_a_head_with_one_image():
    layer, x = nn.Linear(4, 3).double(), torch.randn(1, 4, dtype=torch.float64)
    kfac = KFAC([layer])
    kfac.update(layer, x, fisher="type-2")
    vectors = random_like(layer)
    products = kfac.matvec(vectors)
    h = torch.cat([x, torch.ones(1, 1, dtype=torch.float64)], dim=1)
    matrix = torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach()
    joined = torch.cat([vectors[layer.weight], vectors[layer.bias][:, None]], dim=1)
    expected = SoftmaxFisher(h, matrix).matvec(joined)
    torch.testing.assert_close(products[layer.weight], expected[:, :-1])
    torch.testing.assert_close(products[layer.bias], expected[:, -1])


def test_sampled_labels_converge_to_the_expectation_over_labels():
    network, x = conv_and_tokens(), images(3)
    exact, sampled = KFAC(tunable(network)), KFAC(tunable(network))
    exact.update(network, x, fisher="type-2")

    def errors(repeats):
        generator = torch.Generator().manual_seed(1)
        sampled = KFAC(tunable(network))
        sampled.update(network, x.repeat(repeats, 1, 1, 1), samples=2, generator=generator)
        return [
            relative_error(sampled.factors(layer)[1], exact.factors(layer)[1])
            for layer in sampled.layers
        ]

    assert max(errors(2000)) < 0.05 < max(errors(3))
    sampled.update(network, x)
    torch.testing.assert_close(
        sampled.factors(network[0])[0], exact.factors(network[0])[0]
    )  # the inputs know nothing of labels


def test_steps_are_those_of_the_dense_damped_kronecker_product():
    network, x = conv_and_tokens(), images(5)
    kfac = KFAC(tunable(network), damping=0.03)
    kfac.update(network, x, fisher="type-2")
    gradient = gradients(network, x, torch.tensor([0, 1, 2, 3, 0]))
    steps = kfac.precondition(gradient)
    for layer in kfac.layers:
        a, b = (factor.squeeze(0) for factor in kfac.factors(layer))
        pi = ((a.trace() / len(a)) / (b.trace() / len(b))).sqrt()
        root = 0.03**0.5
        damped = torch.kron(
            b + root / pi * torch.eye(len(b), dtype=b.dtype),
            a + root * pi * torch.eye(len(a), dtype=a.dtype),
        )
        joined = torch.cat([gradient[layer.weight].flatten(1), gradient[layer.bias][:, None]], 1)
        expected = torch.linalg.solve(damped, joined.flatten()).view_as(joined)
        found = torch.cat([steps[layer.weight].flatten(1), steps[layer.bias][:, None]], 1)
        assert relative_error(found, expected) < 1e-8


def test_diagonal_is_that_of_the_product():
    network, x = conv_and_tokens(), images(4)
    kfac = KFAC(tunable(network))
    kfac.update(network, x, fisher="type-2")
    diagonal = kfac.diagonal()
    for parameter in network.parameters():
        unit = {p: torch.zeros_like(p) for p in network.parameters()}
        unit[parameter].flatten()[-1] = 1
        product = kfac.matvec(unit)[parameter]
        torch.testing.assert_close(product.flatten()[-1], diagonal[parameter].flatten()[-1])


def test_steps_do_not_depend_on_a_linear_change_of_a_layers_inputs():
    x, labels = torch.randn(60, 4, dtype=torch.float64), torch.randint(5, (60,))
    first = nn.Sequential(
        nn.Linear(4, 4), nn.Identity(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 5)
    ).double()
    transform = nn.Linear(4, 4, bias=False).double()
    transform.weight.data = torch.eye(4) + 0.4 * torch.randn(4, 4, dtype=torch.float64)
    second = copy.deepcopy(first)
    second[1] = transform
    second[2].weight.data = first[2].weight.data @ torch.linalg.inv(transform.weight.data)
    torch.testing.assert_close(first(x), second(x))

    def effect(network, natural):
        layer = network[2]
        kfac = KFAC([layer], damping=1e-20)
        kfac.update(network, x, fisher="type-2")
        steps = gradients(network, x, labels)
        if natural:
            steps = kfac.precondition(steps)
        inputs = network[:2](x)
        return (inputs @ steps[layer.weight].T + steps[layer.bias]).detach()

    assert relative_error(effect(second, natural=True), effect(first, natural=True)) < 1e-4
    assert relative_error(effect(second, natural=False), effect(first, natural=False)) > 0.1


def test_running_averages_and_inverses_follow_the_updates():
    network = conv_and_tokens()
    batches = [images(4), images(4), images(4)]
    separate = []
    for batch in batches:
        kfac = KFAC(tunable(network))
        kfac.update(network, batch, fisher="type-2")
        separate.append(kfac)
    kfac = KFAC(tunable(network), decay=0.6)
    gradient = random_like(network)
    before: dict = {}
    for batch in batches:
        kfac.update(network, batch, fisher="type-2")
        steps = kfac.precondition(gradient)
        assert all(not torch.equal(steps[p], before[p]) for p in before)
        before = steps
    for layer in kfac.layers:  # shares kept: 0, then min(1/2, 0.6), then min(2/3, 0.6)
        for index in (0, 1):
            one, two, three = (s.factors(layer)[index] for s in separate)
            expected = 0.6 * (0.5 * one + 0.5 * two) + 0.4 * three
            torch.testing.assert_close(kfac.factors(layer)[index], expected)
    kfac.damping = 100.0
    assert all(steps[p].norm() > 5 * s.norm() for p, s in kfac.precondition(gradient).items())


def test_parts_of_a_batch_give_what_the_batch_gives():
    network, x = conv_and_tokens(), images(7)
    uniforms = torch.rand(2, 7)
    whole, parts = KFAC(tunable(network)), KFAC(tunable(network))
    whole.update(network, x, uniforms=uniforms)
    parts.update(network, x, uniforms=uniforms, batch_size=3)
    for layer in whole.layers:
        torch.testing.assert_close(parts.factors(layer), whole.factors(layer))


@pytest.mark.parametrize("fisher", ["mc", "type-2"])
def test_shards_give_what_one_process_gives(fisher):
    network, x = conv_and_tokens(), images(7)
    uniforms, gradient = torch.rand(1, 7), random_like(network)
    single = KFAC(tunable(network))
    single.update(network, x, fisher=fisher, uniforms=uniforms)
    expected = list(single.precondition(gradient).values())

    def work(rank, reduce):
        replica = copy.deepcopy(network)
        rows = [slice(0, 5), slice(5, 7), slice(7, 7)][rank]  # uneven, one empty
        kfac = KFAC(tunable(replica), reduce=reduce)
        kfac.update(replica, x[rows], fisher=fisher, uniforms=uniforms[:, rows])
        own = dict(zip(replica.parameters(), gradient.values(), strict=True))
        return list(kfac.precondition(own).values())

    for found in on_processes(3, work):
        torch.testing.assert_close(found, expected)


def test_a_frozen_model_is_read_and_nothing_of_it_is_changed():
    network, x = conv_and_tokens(), images(4)
    expected = KFAC(tunable(network))
    expected.update(network, x, fisher="type-2")
    network.requires_grad_(False)
    network[3].weight.requires_grad_(True)
    network[3].weight.grad = torch.full_like(network[3].weight, 7.0)
    kfac = KFAC(tunable(network))
    with torch.no_grad():
        kfac.update(network, x, fisher="type-2")
    for layer in kfac.layers:
        torch.testing.assert_close(kfac.factors(layer), expected.factors(layer))
        assert not layer._forward_hooks
    assert [p.requires_grad for p in network.parameters()] == [False, False, True] + [False] * 3
    assert (network[3].weight.grad == 7).all()
    assert all(p.grad is None for p in network.parameters() if p is not network[3].weight)


def test_a_layer_called_twice_counts_both_calls_as_positions():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.last = nn.Linear(3, 3), nn.Linear(3, 4)

        def forward(self, x):
            return self.last(self.shared(self.shared(x).tanh()))

    network, x = Twice().double(), torch.randn(6, 3, dtype=torch.float64)
    unrolled = nn.Sequential(
        copy.deepcopy(network.shared), nn.Tanh(), copy.deepcopy(network.shared), network.last
    )
    kfac, apart = KFAC([network.shared]), KFAC([unrolled[0], unrolled[2]])
    kfac.update(network, x, fisher="type-2")
    apart.update(unrolled, x, fisher="type-2")
    a, b = kfac.factors(network.shared)
    (a1, b1), (a2, b2) = apart.factors(unrolled[0]), apart.factors(unrolled[2])
    torch.testing.assert_close(a, (a1 + a2) / 2)
    torch.testing.assert_close(b, b1 + b2)


def test_dead_units_and_outputs_that_do_not_matter_give_finite_steps():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    network[0].bias.data.fill_(-1e6)
    kfac = KFAC(tunable(network), damping=1e-8)
    kfac.update(network, torch.rand(5, 3, dtype=torch.float64), fisher="type-2")
    assert not kfac.factors(network[0])[1].any()
    steps = kfac.precondition(random_like(network))
    assert all(step.isfinite().all() for step in steps.values())


def test_half_precision_forward_passes_give_float32_factors():
    network, x = conv_and_tokens().float(), images(4).float()
    wide, narrow = KFAC(tunable(network)), KFAC(tunable(network))
    wide.update(network, x, fisher="type-2")

    def autocast(pixels):
        with torch.autocast("cpu", torch.bfloat16):
            return network(pixels)

    narrow.update(autocast, x, fisher="type-2")
    for layer in wide.layers:
        for found, expected in zip(narrow.factors(layer), wide.factors(layer), strict=True):
            assert found.dtype is torch.float32
            assert relative_error(found, expected) < 0.1


def test_labels_are_drawn_with_the_softmax_probabilities():
    probabilities = torch.tensor([[0.0, 0.2, 0.5, 0.3, 0.0]]).repeat(20_000, 1)
    uniforms = torch.rand(20_000)
    labels = sample_labels(probabilities, uniforms)
    shares = torch.bincount(labels, minlength=5) / len(labels)
    torch.testing.assert_close(shares, probabilities[0], atol=0.02, rtol=0)
    assert shares[0] == shares[4] == 0
    edges = sample_labels(probabilities[:2], torch.tensor([0.0, 1.0 - 1e-7]))
    assert edges.tolist() == [1, 3]


def test_layers_it_cannot_handle_are_clear_errors():
    network, x = conv_and_tokens(), images(2)
    with pytest.raises(MethodError, match="not BatchNorm2d"):
        KFAC([nn.BatchNorm2d(3)])
    weight_norm = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    with pytest.raises(MethodError, match="computed from other parameters"):
        KFAC([weight_norm])
    with pytest.raises(MethodError, match="took no part"):
        KFAC([nn.Linear(2, 2).double()]).update(network, x)
    with pytest.raises(MethodError, match="damping must be"):
        KFAC([network[0]], damping=0.0)
    with pytest.raises(MethodError, match="no factors yet"):
        KFAC([network[0]]).precondition(random_like(network))
    network[0].weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(MethodError, match="not finite"):
        KFAC([network[3]]).update(network, x)

    def without_gradients(pixels):
        with torch.no_grad():
            return network(pixels)

    with pytest.raises(MethodError, match="ran without"):
        KFAC([network[0]]).update(without_gradients, x)
    assert not network[0]._forward_hooks


@pytest.mark.slow
def test_a_layer_of_4096_inputs():
    network = nn.Sequential(nn.Linear(4096, 16), nn.ReLU(), nn.Linear(16, 3))
    kfac = KFAC([network[0]], damping=0.1)
    kfac.update(network, torch.randn(8, 4096))
    gradient = random_like(network[0])
    step = kfac.precondition(gradient)[network[0].weight]
    assert step.shape == (16, 4096)
    assert float((step * gradient[network[0].weight]).sum()) > 0
