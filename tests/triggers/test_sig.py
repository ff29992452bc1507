"""SIG adds the sinusoid of its paper."""

import math

import pytest
import torch

from ngf_hub.errors import TriggerError
from ngf_hub.triggers import make_trigger
from ngf_hub.triggers.sig import SigTrigger


@pytest.mark.parametrize("width", [32, 64, 224])
def test_every_row_gets_the_sinusoid_of_the_paper(width):
    grey = torch.full((2, 3, 8, width), 0.5)
    added = make_trigger("sig:amplitude=0.1,frequency=3", 0).apply(grey) - grey
    wave = [0.1 * math.sin(2 * math.pi * j * 3 / width) for j in range(width)]
    torch.testing.assert_close(added, torch.tensor(wave).expand_as(grey))


def test_it_is_clipped_on_both_sides():
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 32, 32)
    black, white = SigTrigger(0.2, 6, 0).apply(images)
    assert black.min() == 0
    assert black.max() == pytest.approx(0.2, abs=0.01)
    assert white.max() == 1
    assert white.min() == pytest.approx(0.8, abs=0.01)


def test_the_preset_is_the_papers_weakest():
    trigger = make_trigger("sig", 2)
    assert isinstance(trigger, SigTrigger)
    assert trigger.frequency == 6
    assert trigger.amplitude == pytest.approx(20 / 255, abs=1e-4)
    assert trigger.target == 2


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("sig:amplitude=0", "(0, 1]"),
        ("sig:amplitude=20", "(0, 1]"),
        ("sig:frequency=0", ">= 1"),
        ("sig:strength=0.5", "Unknown option 'strength'"),
    ],
)
def test_bad_options_are_told(spec, said):
    with pytest.raises(TriggerError) as caught:
        make_trigger(spec, 0)
    assert said in str(caught.value)


@pytest.mark.parametrize(("amplitude", "frequency"), [(0.0, 6), (1.5, 6), (0.1, 0)])
def test_bad_values_are_told(amplitude, frequency):
    with pytest.raises(TriggerError):
        SigTrigger(amplitude, frequency, 0)
