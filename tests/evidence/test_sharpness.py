"""The curvature in numbers against the dense matrix."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from ngf_hub.errors import ModelError
from ngf_hub.evidence import sharpness
from ngf_hub.evidence.sharpness import Sharpness, cost, curvature
from tests.evidence.networks import case_of, classifier_of


def small_network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4))
    ).eval()


def dense_ggn(network, inputs):
    """(1/N) Σ Jᵀ (diag(p) − p pᵀ) J from each image's Jacobian; and the parameters' sizes."""
    parameters = dict(network.named_parameters())
    total = 0
    for image in inputs:

        def logits(values, image=image):
            return torch.func.functional_call(network, values, (image[None],))[0]

        jacobian = torch.func.jacrev(logits)(parameters)
        rows = torch.cat([jacobian[name].flatten(1) for name in parameters], 1).double()
        p = logits(parameters).softmax(0).double()
        total = total + rows.T @ (p.diag() - p.outer(p)) @ rows
    return total / len(inputs), [value.numel() for value in parameters.values()]


def test_equals_the_dense_matrix():
    network, inputs = small_network(), torch.rand(7, 1, 3, 3)
    parameters = list(network.parameters())
    found = curvature(network, parameters, inputs.split(4), trace_products=100, lanczos_products=25)
    dense, sizes = dense_ggn(network, inputs)
    assert found.largest == pytest.approx(torch.linalg.eigvalsh(dense)[-1].item(), rel=1e-4)
    assert found.trace == pytest.approx(dense.trace().item(), rel=0.2)
    blocks = [block.sum().item() for block in dense.diagonal().split(sizes)]
    relative = sum(
        block * parameter.square().sum().item()
        for block, parameter in zip(blocks, parameters, strict=True)
    )
    assert found.relative_trace == pytest.approx(relative, rel=0.2)


def test_same_seed_same_result_and_the_global_generator_is_left_alone():
    network, batches = small_network(), [torch.rand(6, 1, 3, 3)]
    parameters = list(network.parameters())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = curvature(network, parameters, batches, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert curvature(network, parameters, batches, seed=1) == first
    assert curvature(network, parameters, batches, seed=2) != first


def test_attention_has_curvature_too():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.head = nn.Linear(4, 12), nn.Linear(4, 3)

        def forward(self, x):
            q, k, v = self.mix(x.flatten(2).mT @ torch.ones(1, 4)).chunk(3, -1)
            return self.head(nn.functional.scaled_dot_product_attention(q, k, v).mean(1))

    torch.manual_seed(0)
    network, inputs = Attention(), torch.rand(5, 1, 2, 2)
    found = curvature(network, list(network.parameters()), [inputs], lanczos_products=20)
    dense, _ = dense_ggn(network, inputs)
    assert found.largest == pytest.approx(torch.linalg.eigvalsh(dense)[-1].item(), rel=1e-3)


def test_finding_is_weak_and_needs_no_labels():
    classifier = classifier_of(small_network(), 3)
    images = torch.rand(40, 1, 3, 3)
    finding = Sharpness().collect(case_of(classifier, images)).findings[0]
    assert finding.weak
    assert math.isfinite(finding.statistic)
    assert finding.details["parameters"] == "all"
    assert finding.details["images"] == 40
    assert finding.details["trace"] > 0
    assert finding.details["largest_eigenvalue"] > 0


def test_of_a_large_model_only_the_head(monkeypatch):
    classifier = classifier_of(small_network(), 3)
    images = torch.rand(16, 1, 3, 3)
    full = cost(classifier)
    monkeypatch.setattr(sharpness, "MOST_OPERATIONS", 1)
    monkeypatch.setattr(sharpness, "TRACE_PRODUCTS", 3)
    finding = Sharpness().collect(case_of(classifier, images)).findings[0]
    assert cost(classifier) == sharpness.IMAGES < full
    assert finding.details["parameters"] == "head"
    assert finding.statistic is None
    assert "head only" in finding.summary
    head = nn.Sequential(nn.Linear(13, 4, bias=False))
    head[0].weight = nn.Parameter(classifier.head.matrix())
    dense, _ = dense_ggn(head, classifier.features(images).detach())
    assert finding.details["largest_eigenvalue"] == pytest.approx(
        torch.linalg.eigvalsh(dense)[-1].item(), rel=0.01
    )


def test_flat_model_is_not_judged():
    network = small_network()
    with torch.no_grad():
        network[-1].bias[0] = 1e4
    finding = Sharpness().collect(case_of(classifier_of(network, 3), torch.rand(8, 1, 3, 3)))
    assert finding.findings[0].statistic is None
    assert "flat" in finding.findings[0].summary


def test_seconds_are_told_before():
    case = case_of(classifier_of(small_network(), 3), torch.rand(40, 1, 3, 3))
    assert 0 < Sharpness().seconds(case) < 60


def test_nothing_without_images():
    with pytest.raises(ModelError, match="clean images"):
        Sharpness().collect(case_of(classifier_of(small_network(), 3)))


def test_network_without_forward_derivatives_is_an_error():
    class Opaque(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(9, 3)

        def forward(self, x):
            return Opaque.apply(self.head(x.flatten(1)))

    case = case_of(classifier_of(Network(), 3), torch.rand(4, 1, 3, 3))
    with pytest.raises(ModelError, match="cannot be taken"):
        Sharpness().collect(case)


def test_nan_is_an_error():
    network = small_network()
    case = case_of(classifier_of(network, 3), torch.rand(4, 1, 3, 3))
    network[0].weight.data[0, 0, 0, 0] = math.nan
    with pytest.raises(ModelError, match="finite"):
        Sharpness().collect(case)


def test_users_see_no_warning_of_what_pytorch_has_deprecated():
    code = (
        "import torch\n"
        "from torch import nn\n"
        "from ngf_hub.evidence.sharpness import curvature\n"
        "network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))\n"
        "curvature(network, list(network.parameters()), [torch.rand(4, 3, 2, 2)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert "deprecated" not in done.stderr
