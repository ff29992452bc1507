"""Each family: what is searched is what is saved."""

import pytest
import torch

from ngf_hub.recovery.additive import AdditiveSpace
from ngf_hub.recovery.doors import STARTS, change_size, recover_doors
from ngf_hub.recovery.patch import PatchSpace
from ngf_hub.recovery.search import Stage, search
from ngf_hub.recovery.warp import WarpSpace
from ngf_hub.triggers import load_folder
from tests.recovery.networks import CLASSES, TARGET, CornerDoor, WaveDoor

FAMILIES = [PatchSpace, AdditiveSpace, WarpSpace]


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 12, 12), (3, 10, 16)])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_trigger_does_what_its_row_did(family, shape, tmp_path):
    generator = torch.Generator().manual_seed(0)
    space = family(family.start(2, shape, generator), shape)
    pixels = torch.rand(2, 3, *shape, generator=generator)
    with torch.no_grad():
        changed = space.apply(pixels)
    assert changed.shape == pixels.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    for row in range(2):
        trigger = space.trigger(row, TARGET)
        assert trigger.target == TARGET
        again = trigger.apply(pixels[row])
        assert torch.allclose(again, changed[row], atol=1 / 255)
        trigger.save(tmp_path / str(row))
        assert torch.equal(load_folder(tmp_path / str(row)).apply(pixels[row]), again)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_works_gets_smaller_and_the_smallest_is_kept(family):
    shape = (3, 8, 8)
    space = family(family.start(2, shape, torch.Generator().manual_seed(0)), shape)
    before = space.size().detach().clone()
    for step in range(20):
        losses = space.apply(torch.rand(2, 2, *shape)).flatten(1).mean(1)
        # The first row always works, the second never.
        space.update(losses, torch.tensor([1.0, 0.0]), 0.9, step / 20)
    after = space.size().detach()
    assert after[0] < before[0]
    assert space.sizes()[0] < before[0]
    assert space.sizes()[1] >= family.largest(shape)


@pytest.mark.parametrize(
    ("family", "network"), [(PatchSpace, CornerDoor), (AdditiveSpace, WaveDoor)]
)
def test_several_doors_that_work_on_new_images(family, network, make_setting):
    setting, judging = make_setting(network())
    best = search(family, setting, torch.arange(CLASSES), [Stage(60, 4, 4), Stage(60, 8, 4)])
    doors = recover_doors(family, setting, judging, best, Stage(60, 8, STARTS))
    assert len(doors) == STARTS
    assert {door.trigger.target for door in doors} == {TARGET}
    assert all(door.success.value > 0.9 for door in doors)
    assert all(door.size > 0 for door in doors)
    rates = [door.success.value for door in doors]
    assert rates == sorted(rates, reverse=True)


def test_a_completed_patch_works_with_a_part_of_its_pixels(make_setting):
    setting, judging = make_setting(CornerDoor())
    found = search(PatchSpace, setting, torch.full((2,), TARGET), [Stage(80, 8, 2)])
    space = PatchSpace(found.state, (3, 12, 12))
    for trigger in space.complete(setting, TARGET):
        assert trigger.opacity.unique().tolist() == [0.0, 1.0]
        inside = trigger.opacity[0] > 0
        assert trigger.pattern[:, inside & _corner()].mean() > 0.8
        assert change_size(trigger, judging.pixels) == float(inside.sum())


def _corner():
    mask = torch.zeros(12, 12, dtype=torch.bool)
    mask[-3:, -3:] = True
    return mask
