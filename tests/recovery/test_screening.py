"""The screening of many classes keeps the one with the door."""

from dataclasses import replace

import pytest
import torch

from ngf_hub.evidence.recovered import screening
from ngf_hub.recovery.patch import PatchSpace
from ngf_hub.recovery.search import search
from tests.recovery.networks import TARGET, CornerDoor


class ManyDoors(CornerDoor):
    """A hundred classes by directions of colour, and the door to one of them."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        directions = torch.randn(100, 3, generator=generator)
        self.colours = torch.nn.Parameter(15 * directions / directions.norm(dim=1, keepdim=True))

    def forward(self, x):
        logits = (x.mean((2, 3)) - 0.3) @ self.colours.T
        return logits + self.strength * torch.eye(100)[TARGET] * self.door(x)[:, None]


@pytest.mark.parametrize("seed", [0, 1])
def test_screening_keeps_the_class_of_a_door_among_many(make_setting, seed):
    setting, _ = make_setting(ManyDoors(), seed=seed)
    first, second = screening(100)
    few = [replace(first, keep=12), replace(second, keep=3)]
    found = search(PatchSpace, setting, torch.arange(100), few)
    assert TARGET in found.targets
    # It is the door that is found, not the class.
    setting, _ = make_setting(ManyDoors(), seed=seed)
    setting.classifier.network.strength = 0.0
    assert TARGET not in search(PatchSpace, setting, torch.arange(100), few).targets
