"""The searches for large margins, against networks where the largest are known."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ngf_hub.evidence.margin_search import (
    Ascent,
    SparseAscent,
    class_margins,
    maximum_margins,
    sparse_gains,
)
from ngf_hub.evidence.synthetic import natural_noise
from tests.evidence.networks import blocks, case_of, classifier_of

SEARCHES = {
    "any image": lambda case, **changes: maximum_margins(
        case, torch.arange(case.classifier.num_classes), replace(Ascent(), **changes)
    ).amax(1),
    "a small pattern": lambda case, **changes: sparse_gains(
        case, torch.arange(case.classifier.num_classes), replace(SparseAscent(), **changes)
    ),
}
both = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)


def convolutional(seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 5)
    )
    return classifier_of(network, 8, channels=2)


def test_margins_are_those_of_the_definition():
    logits = torch.tensor([[1.0, 4.0, 2.5], [1.0, 4.0, 2.5]])
    assert class_margins(logits, torch.tensor([1, 0])).tolist() == [1.5, -3.0]


def test_finds_the_known_maximum():
    gains = [1.0, 2.0, 3.0, 0.5]
    case = case_of(blocks(gains))
    found = maximum_margins(case, torch.arange(4), Ascent(steps=60))
    assert found.shape == (4, Ascent().starts)
    for row, gain in zip(found, gains, strict=True):
        assert row.max() <= 4 * gain + 1e-6
        assert row.max().item() == pytest.approx(4 * gain, rel=0.02)


def test_class_that_no_image_can_get_has_a_negative_margin():
    classifier = blocks([1.0, 1.0, 1.0])
    weight = classifier.network.head.weight.detach().clone()
    weight[2] = weight[0]  # always half a logit below class 0
    head = nn.Linear(12, 3)
    head.weight.data, head.bias.data = weight, torch.tensor([0.0, 0.0, -0.5])
    classifier.network.head = head
    found = maximum_margins(case_of(classifier), torch.tensor([2]), Ascent())
    assert found.tolist() == [pytest.approx([-0.5] * 4)]


def test_only_the_classes_asked_for_in_their_order():
    case = case_of(blocks([1.0, 2.0, 3.0, 4.0]))
    chosen = torch.tensor([3, 1])
    for search, ascent in ((maximum_margins, Ascent()), (sparse_gains, SparseAscent())):
        some = search(case, chosen, ascent)
        assert torch.allclose(some, search(case, torch.arange(4), ascent)[chosen])


def test_pattern_on_few_pixels_finds_the_pixel_that_counts():
    class OnePixel(nn.Module):
        """Class 1 is what pixel (5, 2) says; the others follow the mean of the image."""

        def __init__(self):
            super().__init__()
            self.head = nn.Linear(64, 4, bias=False)
            weight = torch.tensor([0.5, 0.0, -0.5, 0.2])[:, None].repeat(1, 64) / 64
            weight[1, 5 * 8 + 2] = 20.0
            self.head.weight = nn.Parameter(weight)

        def forward(self, x):
            return self.head(x.flatten(1))

    case = case_of(classifier_of(OnePixel(), 8))
    found = sparse_gains(case, torch.arange(4), SparseAscent(share=1 / 64))
    # Lit, the pixel gives 20 in place of 20 times the mean brightness of noise.
    assert found.argmax() == 1
    assert found[1].item() == pytest.approx(20 * 0.55, abs=4)


def test_pattern_has_no_more_pixels_than_it_may():
    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 3, bias=False))
    mean[2].weight.data = torch.tensor([[100.0], [0.0], [-100.0]])
    case = case_of(classifier_of(mean, 10))
    gains = [
        sparse_gains(case, torch.tensor([0]), SparseAscent(share=share)).item()
        for share in (0.02, 0.2)
    ]
    # Each pixel of 100 can lift the logit by at most 1.
    assert 0.5 < gains[0] <= 2
    assert 5 < gains[1] <= 20


@both
def test_batches_do_not_change_the_result_nor_the_model(search):
    classifier = convolutional()
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    whole = search(case_of(classifier, seed=3))
    assert torch.allclose(whole, search(case_of(classifier, seed=3, batch_size=3)), rtol=1e-3)
    assert not torch.equal(whole, search(case_of(classifier, seed=4)))
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(parameter.grad is None for parameter in classifier.parameters())


@both
def test_two_processes_find_what_one_finds(search):
    class Process:
        def __init__(self, index, shares, single):
            self.process_index, self.num_processes, self.shares = index, 2, shares
            self.autocast = single.autocast

        def reduce(self, value, reduction):
            assert reduction == "sum"
            self.shares.append(value)
            return torch.stack(self.shares).sum(0)

    case, shares = case_of(convolutional()), []
    for index in range(2):
        found = search(replace(case, accelerator=Process(index, shares, case.accelerator)))
    assert torch.allclose(found, search(case), rtol=1e-3)


def test_search_that_has_converged_stops():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.passed = blocks([1.0, 2.0, 3.0]).network, 0

        def forward(self, x):
            self.passed += len(x)
            return self.inner(x)

    network = Counting()
    case = case_of(classifier_of(network, (3, 4)))
    network.passed = 0
    maximum_margins(case, torch.arange(3), Ascent(starts=2, steps=200, step_size=1.0))
    # Corners are reached within a few steps; what follows is the patience.
    assert network.passed <= 6 * 12


def test_noise_is_like_natural_images():
    noise = natural_noise(20, 3, 32, 48, seed=1)
    assert noise.shape == (20, 3, 32, 48)
    assert noise.min() >= 0
    assert noise.max() <= 1
    assert torch.equal(noise, natural_noise(20, 3, 32, 48, seed=1))
    assert not torch.equal(noise, natural_noise(20, 3, 32, 48, seed=2))
    neighbours = torch.corrcoef(torch.stack([noise[..., 1:].flatten(), noise[..., :-1].flatten()]))
    assert neighbours[0, 1] > 0.7
    colours = torch.corrcoef(torch.stack([noise[:, 0].flatten(), noise[:, 1].flatten()]))
    assert 0.5 < colours[0, 1] < 0.98


def test_noise_of_one_channel_and_one_pixel():
    assert natural_noise(2, 1, 1, 1).shape == (2, 1, 1, 1)
