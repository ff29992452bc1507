"""What an attempt kept and forgot, on images that were held out from it."""

import dataclasses

import pytest
import torch
from torch import nn

from ngf_hub import load_model
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.methods import Outcome, Task
from ngf_hub.methods.cure.attempts import HeldOut, tune
from ngf_hub.triggers.patch import PatchTrigger
from tests.methods.networks import make_task, residual


class Shade(nn.Module):
    """Three classes: how red, green or blue an image is; ``bias`` prefers some."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        with torch.no_grad():
            self.fc.weight.copy_(4 * torch.eye(3))
            self.fc.bias.zero_()

    def forward(self, pixels):
        return self.fc(pixels.mean((2, 3)))


@pytest.fixture
def task():
    """Nine images, three of each colour, and the model that tells them apart."""
    classes = torch.arange(9) % 3
    pixels = torch.zeros(9, 3, 4, 4)
    pixels[torch.arange(9), classes] = 1.0
    classifier = load_model(Shade(), size=4)
    return Task(
        classifier, classifier.layers, PixelSet(pixels, classes), make_accelerator("cpu"), seed=0
    )


def bright_red():
    """Paints an image red, for class 0."""
    pattern = torch.zeros(3, 4, 4)
    pattern[0] = 1.0
    return PatchTrigger(pattern, torch.ones(1, 4, 4), 0, place="0x0")


def test_images_of_the_target_are_no_victims(task):
    success = HeldOut.of(task).success([bright_red(), bright_red()])
    assert (success.count, success.n) == (12, 12)  # six of nine images, twice


def test_what_an_attempt_kept_and_forgot(task):
    held_out = HeldOut.of(task)
    with torch.no_grad():
        task.classifier.network.fc.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    attempt = held_out.attempt(Outcome([], 7), ["fc"], ["patch"], {"patch": [bright_red()]})
    assert attempt.steps == 7
    assert (attempt.kept.count, attempt.kept.n) == (3, 9)
    sure, not_sure = torch.tensor([4.0, 0.0, 0.0]).softmax(0)[:2].tolist()
    assert attempt.drop == pytest.approx(6 / 9 * (sure - not_sure), abs=1e-6)
    assert attempt.success.count == 0  # everything is class 1 now
    assert attempt.left == []


def test_an_attempt_names_the_kinds_that_are_left(task):
    unseen = {"patch": [bright_red()], "additive": [], "grating": [bright_red()]}
    attempt = HeldOut.of(task).attempt(Outcome([], 7), ["fc"], ["patch"], unseen)
    assert attempt.left == ["patch", "grating"]
    assert (attempt.success.count, attempt.success.n) == (12, 12)


@pytest.mark.parametrize("labelled", [False, True])
def test_the_untouched_models_softmax_says_what_is_lost(task, labelled):
    labels = (task.pixels.labels + 1) % 3 if labelled else None  # which do not count
    held_out = HeldOut.of(dataclasses.replace(task, pixels=PixelSet(task.pixels.pixels, labels)))
    sure, not_sure = torch.tensor([4.0, 0.0, 0.0]).softmax(0)[:2].tolist()
    now = torch.ones(9, dtype=torch.int64)
    lost, error = held_out.drop(now)
    assert lost == pytest.approx(6 / 9 * (sure - not_sure), abs=1e-6)
    each = torch.tensor([sure - not_sure] * 6 + [0.0] * 3)
    assert error == pytest.approx(float(each.std()) / 3, abs=1e-6)
    assert held_out.drop(held_out.predicted) == (0, 0)


def test_all_named_layers_change_and_no_other():
    """Though the user named none, so that a method may choose."""
    task = dataclasses.replace(make_task(residual()), choose=True)
    before = {name: value.clone() for name, value in task.classifier.network.named_parameters()}
    named = ["down", "side", "last"]
    trigger = PatchTrigger(torch.ones(3, 4, 4), torch.ones(1, 4, 4), 0, place="0x0")
    assert tune(task, named, [trigger], 3).steps == 3
    changed = {
        name.rpartition(".")[0]
        for name, value in task.classifier.network.named_parameters()
        if not torch.equal(before[name], value)
    }
    assert changed == set(named)
