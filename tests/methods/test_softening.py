"""The softmax at a temperature."""

import pytest
import torch
from torch import nn

from ngf_hub import load_model
from ngf_hub.methods.softening import softened


@pytest.fixture
def classifier():
    """Four pixels, three classes."""
    torch.manual_seed(0)
    return load_model(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), size=2)


def test_logits_are_divided_inside_the_block_only(classifier):
    pixels = torch.rand(5, 3, 2, 2)
    before = classifier(pixels)
    with softened(classifier, 4.0):
        assert torch.equal(classifier(pixels), before / 4)
    assert torch.equal(classifier(pixels), before)
    with pytest.raises(RuntimeError), softened(classifier, 2.0):
        raise RuntimeError
    assert torch.equal(classifier(pixels), before)


def test_gradients_reach_the_weights(classifier):
    with softened(classifier, 2.0):
        classifier(torch.ones(1, 3, 2, 2))[0, 0].backward()
    assert torch.equal(classifier.network[1].weight.grad[0], torch.full((12,), 0.5))
