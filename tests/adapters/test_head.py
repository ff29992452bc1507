"""The head is found by what the network computes, in every form that it takes."""

import copy

import pytest
import torch
from torch import nn

from ngf_hub.errors import ModelError

from .networks import Function, Mean, classifier_of, randomise, trunk

CLASSES = 5


def tokens(self, x):
    """(N, 6, 4, 4) maps as (N, 16, 6) tokens."""
    return self.trunk(x).flatten(2).transpose(1, 2)


def linear(inputs=6, outputs=CLASSES, **options):
    return nn.Linear(inputs, outputs, **options)


class InPlace(nn.Module):
    def forward(self, x):
        x *= 0.5
        return x


SHAPES = {
    "pooled, then linear": (
        nn.Sequential(trunk(), Mean(2, 3), linear()),
        ["2"],
    ),
    "without bias": (nn.Sequential(trunk(), Mean(2, 3), linear(bias=False)), ["2"]),
    "sequential ending in linear": (
        nn.Sequential(trunk(), Mean(2, 3), nn.Sequential(linear(6, 7), nn.Tanh(), linear(7))),
        ["2.2"],
    ),
    "hidden layers as wide as the classes": (
        nn.Sequential(trunk(), Mean(2, 3), linear(), nn.Tanh(), linear(5), nn.Tanh(), linear(5)),
        ["6"],
    ),
    "1x1 convolution of (N, C, 1, 1)": (
        nn.Sequential(trunk(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, CLASSES, 1), nn.Flatten()),
        ["2"],
    ),
    "1x1 convolution, then pooled": (
        nn.Sequential(trunk(), nn.Conv2d(6, CLASSES, 1), Mean(2, 3)),
        ["1"],
    ),
    "linear on tokens (N, T, C), then their mean": (
        Function(lambda s, x: s.fc(tokens(s, x)).mean(1), trunk=trunk(), fc=linear()),
        ["fc"],
    ),
    "linear on maps (N, H, W, C), then their mean": (
        Function(
            lambda s, x: s.fc(s.trunk(x).permute(0, 2, 3, 1)).mean((1, 2)),
            trunk=trunk(),
            fc=linear(),
        ),
        ["fc"],
    ),
    "first token": (
        Function(lambda s, x: s.fc(tokens(s, x))[:, 0], trunk=trunk(), fc=linear()),
        ["fc"],
    ),
    "last token": (
        Function(lambda s, x: s.fc(tokens(s, x))[:, -1], trunk=trunk(), fc=linear()),
        ["fc"],
    ),
    "unevenly weighted tokens": (
        Function(
            lambda s, x: (s.fc(tokens(s, x)) * torch.linspace(0, 1, 16)[:, None]).sum(1),
            trunk=trunk(),
            fc=linear(),
        ),
        ["fc"],
    ),
    "two heads, averaged": (
        Function(
            lambda s, x: (s.a(s.trunk(x)[:, :, 0, 0]) + s.b(s.trunk(x)[:, :, 1, 1])) / 2,
            trunk=trunk(),
            a=linear(),
            b=linear(bias=False),
        ),
        ["a", "b"],
    ),
    "one head on two branches": (
        Function(
            lambda s, x: 0.3 * s.fc(s.trunk(x).amax((2, 3))) + 0.7 * s.fc(s.trunk(x).mean((2, 3))),
            trunk=trunk(),
            fc=linear(),
        ),
        ["fc"],
    ),
    "scaled logits, in place": (
        nn.Sequential(trunk(), Mean(2, 3), linear(), InPlace()),
        ["2"],
    ),
    "a first layer that is also the head": (nn.Sequential(nn.Flatten(), linear(192)), ["1"]),
    "logits in a tuple": (
        Function(lambda s, x: (s.fc(s.trunk(x).mean((2, 3))), x), trunk=trunk(), fc=linear()),
        ["fc"],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_features_times_matrix_are_the_logits(shape):
    network, names = SHAPES[shape]
    classifier = classifier_of(randomise(copy.deepcopy(network)))
    head = classifier.head
    assert head.names == names
    assert head.num_classes == CLASSES
    pixels = torch.rand(7, 3, 8, 8)
    with torch.no_grad():
        features, logits = head.features_and_logits(classifier, pixels)
        assert torch.equal(features, classifier.features(pixels))
        assert torch.equal(logits, classifier(pixels))
    assert features.dtype is torch.float32
    assert features.shape == (7, head.width)
    assert logits.abs().max() > 0.1
    torch.testing.assert_close(features @ head.matrix().T, logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_loaded_matrix_is_what_the_model_then_computes(shape):
    classifier = classifier_of(randomise(copy.deepcopy(SHAPES[shape][0])))
    head = classifier.head
    matrix = torch.randn(head.num_classes, head.width)
    head.load_matrix(matrix)
    torch.testing.assert_close(head.matrix(), matrix, atol=0, rtol=0)
    pixels = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        expected = classifier.features(pixels) @ matrix.T
        torch.testing.assert_close(classifier(pixels), expected, atol=1e-5, rtol=1e-5)


def test_matrix_holds_raw_weights_and_features_the_averaging():
    classifier = classifier_of(randomise(copy.deepcopy(SHAPES["two heads, averaged"][0])))
    a, b = classifier.network.a, classifier.network.b
    expected = torch.cat([a.weight, a.bias[:, None], b.weight], dim=1)
    assert torch.equal(classifier.head.matrix(), expected)
    features = classifier.features(torch.rand(2, 3, 8, 8))
    torch.testing.assert_close(features[:, 6], torch.full((2,), 0.5))
    assert [tuple(p.shape) for p in classifier.head.parameters()] == [(5, 6), (5,), (5, 6)]


def test_matrix_is_a_copy():
    classifier = classifier_of(randomise(nn.Sequential(trunk(), Mean(2, 3), linear(bias=False))))
    before = classifier.network[2].weight.clone()
    classifier.head.matrix().zero_()
    assert torch.equal(classifier.network[2].weight, before)


def test_tied_modules_are_one_branch():
    network = Function(
        lambda s, x: s.a(s.trunk(x)[:, :, 0, 0]) + s.b(s.trunk(x)[:, :, 1, 1]),
        trunk=trunk(),
        a=linear(),
        b=linear(),
    )
    network.b.weight, network.b.bias = network.a.weight, network.a.bias
    classifier = classifier_of(randomise(network))
    head = classifier.head
    assert head.names == ["a"]
    assert head.width == 7
    pixels = torch.rand(3, 3, 8, 8)
    head.load_matrix(torch.randn(CLASSES, 7))
    with torch.no_grad():
        features, logits = head.features_and_logits(classifier, pixels)
    torch.testing.assert_close(features @ head.matrix().T, logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_the_weights_of_the_head_do_not_matter(value):
    network = nn.Sequential(trunk(), Mean(2, 3), linear(), nn.Tanh(), linear(5))
    classifier = classifier_of(randomise(network))
    nn.init.constant_(network[4].weight, value)
    assert classifier.head.names == ["4"]


def test_uniform_pooling_follows_other_image_sizes():
    network, _ = SHAPES["1x1 convolution, then pooled"]
    classifier = classifier_of(randomise(copy.deepcopy(network)))
    assert classifier.head.width == 7
    pixels = torch.rand(2, 3, 16, 12)
    with torch.no_grad():
        features, logits = classifier.head.features_and_logits(classifier, pixels)
    torch.testing.assert_close(features @ classifier.head.matrix().T, logits, atol=1e-5, rtol=1e-5)


def test_features_stay_in_float32_under_autocast():
    classifier = classifier_of(randomise(copy.deepcopy(SHAPES["first token"][0])))
    pixels = torch.rand(4, 3, 8, 8)
    head = classifier.head
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        features, logits = head.features_and_logits(classifier, pixels)
    assert features.dtype is torch.float32
    assert logits.dtype is torch.bfloat16
    torch.testing.assert_close(features @ head.matrix().T, logits.float(), atol=0.05, rtol=0.05)


def test_features_carry_gradients_when_asked():
    classifier = classifier_of(randomise(copy.deepcopy(SHAPES["pooled, then linear"][0])))
    classifier.features(torch.rand(2, 3, 8, 8)).sum().backward()
    assert classifier.network[0][0].weight.grad.abs().max() > 0


def test_the_model_is_left_as_it_was():
    network = nn.Sequential(trunk(), nn.BatchNorm2d(6), Mean(2, 3), nn.Dropout(0.5), linear())
    classifier = classifier_of(network)
    network.train()
    network[0][0].weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    assert classifier.head.names == ["4"]
    assert len(classifier.layers) == 2
    assert all(module.training for module in network.modules())
    assert not network[0][0].weight.requires_grad
    assert network[4].weight.requires_grad
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_found_in_inference_mode_too():
    classifier = classifier_of(randomise(copy.deepcopy(SHAPES["two heads, averaged"][0])))
    with torch.inference_mode():
        assert classifier.head.names == ["a", "b"]


class Cosine(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(nn.functional.normalize(x), self.weight)


NO_HEADS = {
    "softmax after it": nn.Sequential(trunk(), Mean(2, 3), linear(), nn.Softmax(-1)),
    "relu after it": nn.Sequential(trunk(), Mean(2, 3), linear(), nn.ReLU()),
    "maximum over tokens": Function(
        lambda s, x: s.fc(tokens(s, x)).amax(1), trunk=trunk(), fc=linear()
    ),
    "added to something else": Function(
        lambda s, x: s.fc(s.trunk(x).mean((2, 3))) + x.mean((1, 2, 3))[:, None],
        trunk=trunk(),
        fc=linear(),
    ),
    "a constant added": Function(
        lambda s, x: s.fc(s.trunk(x).mean((2, 3))) + 1, trunk=trunk(), fc=linear()
    ),
    "weights that depend on the image": Function(
        lambda s, x: (s.fc(tokens(s, x)) * tokens(s, x).softmax(1)[..., :1]).sum(1),
        trunk=trunk(),
        fc=linear(),
    ),
    "a scale for each class": Function(
        lambda s, x: s.fc(s.trunk(x).mean((2, 3))) * torch.arange(1.0, 6.0),
        trunk=trunk(),
        fc=linear(),
    ),
    "a layer that is none": nn.Sequential(trunk(), Mean(2, 3), Cosine(6, CLASSES)),
    "no linear layer": nn.Sequential(nn.Conv2d(3, CLASSES, 3), Mean(2, 3)),
    "computed weights": nn.Sequential(
        trunk(), Mean(2, 3), nn.utils.parametrizations.weight_norm(linear())
    ),
}


@pytest.mark.parametrize("case", NO_HEADS)
def test_no_head_of_this_form_is_said_in_one_line(case):
    classifier = classifier_of(randomise(copy.deepcopy(NO_HEADS[case])))
    with pytest.raises(ModelError) as caught:
        _ = classifier.head
    assert "\n" not in str(caught.value)
    assert "--layer" in caught.value.hint
    assert classifier.layers  # inner layers are there all the same


def test_a_matrix_of_another_shape_is_refused():
    classifier = classifier_of(nn.Sequential(trunk(), Mean(2, 3), linear()))
    with pytest.raises(ValueError, match=r"\(5, 7\), not \(5, 6\)"):
        classifier.head.load_matrix(torch.zeros(5, 6))


def test_a_copied_classifier_has_a_head_of_its_own():
    classifier = classifier_of(randomise(nn.Sequential(trunk(), Mean(2, 3), linear())))
    before = classifier.head.matrix()
    twin = copy.deepcopy(classifier)
    twin.head.load_matrix(torch.zeros(5, 7))
    assert torch.equal(classifier.head.matrix(), before)
    with torch.no_grad():
        assert twin(torch.rand(1, 3, 8, 8)).abs().max() == 0
