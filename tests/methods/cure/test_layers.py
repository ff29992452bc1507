"""The layer to tune is chosen by the squared Fisher length of the triggered loss's gradient."""

from functools import partial

import pytest
import torch
from torch import Generator, nn
from torch.nn import functional

from ngf_hub import load_model
from ngf_hub.curvature import KFAC
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.methods import Task
from ngf_hub.methods.cure.layers import DAMPING, LABELS, rank_layers
from ngf_hub.methods.variations import Variations
from ngf_hub.triggers.patch import PatchTrigger

ACCELERATOR = make_accelerator("cpu")


@pytest.fixture
def task():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
    )
    classifier = load_model(network, size=8)
    pixels = torch.rand(24, 3, 8, 8, generator=Generator().manual_seed(1))
    return Task(classifier, classifier.layers, PixelSet(pixels), ACCELERATOR, seed=3)


def whole_patch(strength=1.0):
    """Covers a corner wholly, so that it looks the same whatever part of it is drawn."""
    return PatchTrigger(torch.full((3, 3, 3), strength), torch.ones(1, 3, 3), 2, place="0x0")


def test_the_head_is_left_out_unless_it_is_alone(task):
    ranked = rank_layers(task, [whole_patch()])
    assert sorted(layer.name for layer, _ in ranked) == ["0", "2"]
    scores = [entry.score for _, entry in ranked]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0
    task.layers[:] = [layer for layer in task.layers if layer.is_head]
    assert [layer.name for layer, _ in rank_layers(task, [whole_patch()])] == ["5"]


def test_the_score_is_what_the_formula_says(task, monkeypatch):
    """Against the gradient and the inverse by hand, with every part of the patch drawn."""
    import ngf_hub.methods.cure.layers as tested

    monkeypatch.setattr(tested, "Variations", partial(Variations, vary=False))
    scores = {layer.name: entry.score for layer, entry in rank_layers(task, [whole_patch()])}

    network, pixels = task.classifier, task.pixels.pixels
    # The order in which the objective draws the images, and the labels that are drawn for it.
    from ngf_hub.methods.objective import drawn

    (clean,) = drawn(len(pixels), 1, len(pixels), task.seed)
    (marked,) = drawn(len(pixels), 1, len(pixels), task.seed + 1)
    triggered = whole_patch().apply(pixels[marked])
    with torch.no_grad():
        said = network(pixels).softmax(1)
    loss = functional.cross_entropy(network(triggered), said[marked])
    module = next(layer.module for layer in task.layers if layer.name == "2")
    weight, bias = torch.autograd.grad(loss, [module.weight, module.bias])
    kfac = KFAC([module], damping=DAMPING)
    uniforms = torch.rand(LABELS, len(pixels), generator=Generator().manual_seed(task.seed))
    kfac.update(network, pixels[clean], uniforms=uniforms)
    (a,), (b,) = kfac.factors(module)
    ratio = (a.diagonal().mean() / b.diagonal().mean()).sqrt()
    root = DAMPING**0.5
    gradient = torch.cat([weight.flatten(1), bias[:, None]], 1)
    step = torch.linalg.solve(b + root / ratio * torch.eye(len(b)), gradient)
    step = torch.linalg.solve(a + root * ratio * torch.eye(len(a)), step.T).T
    # Triggered images are half of the batch, and the other half has no gradient.
    assert scores["2"] == pytest.approx(float((gradient * step).sum()) / 4, rel=1e-3)


def test_a_layer_that_the_trigger_does_not_reach_has_no_score(task):
    """Where triggered images look like clean ones, there is nothing to forget."""
    invisible = PatchTrigger(torch.ones(3, 3, 3), torch.zeros(1, 3, 3), 2, place="0x0")
    assert all(entry.score < 1e-6 for _, entry in rank_layers(task, [invisible]))
