"""The curvature of tuned layers before and after: right, and without a trace in the model."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from ngf_hub.adapters import load_model
from ngf_hub.data.pixels import PixelSet
from ngf_hub.methods import Task
from ngf_hub.spectrum import compare_spectra, largest_products
from ngf_hub.unchanged import State


def positive(generator, blocks, side):
    root = torch.randn(blocks, side, side, generator=generator)
    return root @ root.mT


def test_the_largest_products_are_those_of_the_dense_blocks():
    generator = torch.Generator().manual_seed(0)
    a, b = positive(generator, 2, 5), positive(generator, 2, 4)
    dense = torch.cat([torch.linalg.eigvalsh(torch.kron(b[g], a[g])) for g in range(2)])
    wanted = dense.sort(descending=True).values
    assert torch.allclose(largest_products(a, b, 7), wanted[:7], rtol=1e-4)
    assert torch.allclose(largest_products(a, b, 99), wanted, rtol=1e-3, atol=1e-4)


@pytest.fixture
def task():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))
    classifier = load_model(network, size=2, channels=3)
    pixels = torch.rand(20, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    layers = classifier.select_layers("*")
    return Task(classifier, layers[:1], PixelSet(pixels), Accelerator(cpu=True))


def test_before_and_after_are_those_of_the_two_models(task):
    original = State(task.classifier)
    same = compare_spectra(task, original)
    assert same.before == same.after
    assert (same.images, same.layers) == (20, [task.layers[0].name])
    with torch.no_grad():
        task.classifier.network[3].weight.mul_(0)  # nothing depends on the input any more
    changed = [p.clone() for p in task.classifier.parameters()]
    flat = compare_spectra(task, original)
    assert flat.before == same.before
    assert flat.after.trace == 0
    assert flat.before.trace >= flat.before.eigenvalues[0] > 0
    # The tuned model is still the tuned one, and in the mode that it was.
    for now, then in zip(task.classifier.parameters(), changed, strict=True):
        assert torch.equal(now, then)


def test_layers_without_factors_have_no_spectrum(task, monkeypatch):
    original = State(task.classifier)
    monkeypatch.setattr("ngf_hub.spectrum.MOST_BYTES", 10)
    assert compare_spectra(task, original) is None
    monkeypatch.undo()
    assert compare_spectra(replace(task, layers=[]), original) is None
