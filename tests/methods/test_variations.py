"""Triggers vary from image to image, each family in its own way, and by the image's seed alone."""

import pytest
import torch

from ngf_hub.methods.variations import STRONGEST, WEAKEST, Variations
from ngf_hub.triggers import make_trigger
from ngf_hub.triggers.additive import AdditiveTrigger
from ngf_hub.triggers.composite import CompositeTrigger
from ngf_hub.triggers.patch import PatchTrigger
from ngf_hub.triggers.sig import SigTrigger
from ngf_hub.triggers.warp import WarpTrigger, control_grid

COUNT = 200
SEEDS = torch.randint(2**31, (COUNT,), generator=torch.Generator().manual_seed(0))
GREY = torch.full((COUNT, 3, 16, 16), 0.5)


def patch(value, target=0, place="2x3"):
    return PatchTrigger(torch.full((3, 8, 8), value), torch.ones(1, 8, 8), target, place=place)


def test_patches_lie_on_a_part_of_their_pixels():
    varied = Variations([patch(1.0)]).apply(GREY, SEEDS)
    changed = (varied != GREY).all(1)
    assert torch.equal(changed, (varied != GREY).any(1)), "all channels of a pixel or none"
    assert (varied[(varied != GREY)] == 1).all()
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[2:10, 3:11] = True
    assert not (changed & ~inside).any()
    shares = changed.flatten(1).sum(1) / 64
    assert 0.1 < shares.min() < 0.4
    assert 0.9 < shares.max() <= 1
    assert shares.mean() == pytest.approx(0.65, abs=0.05)
    assert changed[:, 2:10, 3:11].any(0).all(), "every pixel is used by some image"


def test_every_patch_is_used():
    varied = Variations([patch(1.0), patch(0.0), patch(0.25)]).apply(GREY, SEEDS)
    for value in (1.0, 0.0, 0.25):
        assert 40 < (varied == value).flatten(1).any(1).sum() < 95


def test_perturbations_are_mixed_and_scaled():
    pictures = torch.zeros(2, 3, 16, 16)
    pictures[0, :, :8], pictures[1, :, 8:] = 0.1, -0.05
    triggers = [AdditiveTrigger(pictures[0], 1.0, 0), AdditiveTrigger(2 * pictures[1], 0.5, 0)]
    change = Variations(triggers).apply(GREY, SEEDS) - GREY
    upper, lower = change[:, 0, 0, 0] / 0.1, change[:, 0, 15, 0] / -0.05
    torch.testing.assert_close(
        change, upper.view(-1, 1, 1, 1) * pictures[0] + lower.view(-1, 1, 1, 1) * pictures[1]
    )
    sums = upper + lower
    assert (upper > -1e-6).all()
    assert (lower > -1e-6).all()
    assert WEAKEST - 1e-4 < sums.min() < WEAKEST + 0.1
    assert STRONGEST - 0.1 < sums.max() < STRONGEST + 1e-4
    assert 0.1 < (upper / sums).std() < 0.35
    bright = Variations(triggers).apply(torch.full_like(GREY, 0.95), SEEDS)
    assert bright.max() == 1


def test_warpings_are_mixed_and_scaled():
    """Of an image whose values are its coordinates a warping shows its offsets."""
    ramp = torch.linspace(0, 1, 16)
    image = torch.stack([ramp.expand(16, 16), ramp.view(-1, 1).expand(16, 16), torch.zeros(16, 16)])
    images, inside = image.expand(COUNT, -1, -1, -1), (..., slice(3, 13), slice(3, 13))
    triggers = [WarpTrigger(control_grid(4, seed), 1.0, 0) for seed in (0, 1)]
    first, second = ((trigger.apply(images[:1]) - images[:1])[inside] for trigger in triggers)
    change = (Variations(triggers).apply(images, SEEDS) - images)[inside]
    basis = torch.stack([first.flatten(), second.flatten()], 1)
    weights = torch.linalg.lstsq(basis, change.flatten(1).T).solution
    torch.testing.assert_close((basis @ weights).T, change.flatten(1), atol=1e-5, rtol=0)
    sums = weights.sum(0)
    assert weights.min() > -1e-3
    assert WEAKEST - 1e-3 < sums.min() < WEAKEST + 0.1
    assert STRONGEST - 0.1 < sums.max() < STRONGEST + 1e-3
    assert 0.1 < (weights[0] / sums).std() < 0.35


def test_warpings_of_other_grids_are_not_mixed():
    ramp = torch.linspace(0, 1, 16).expand(COUNT, 3, 16, 16)
    right, left = (
        WarpTrigger(torch.full((2, side, side), offset), 1.0, 0)
        for side, offset in ((3, 1.0), (4, -1.0))
    )
    change = (Variations([right, left]).apply(ramp, SEEDS) - ramp)[:, 0, 8, 8]
    weakest = abs(float((right.apply(ramp[:1]) - ramp[:1])[0, 0, 8, 8])) * WEAKEST
    assert (change.abs() > weakest - 1e-4).all(), "opposite warpings would cancel"
    assert 70 < (change > 0).sum() < 130


@pytest.mark.parametrize("trigger", [SigTrigger(0.1, 2, 0), make_trigger("blend", 0)])
def test_other_families_are_weaker_or_stronger(trigger):
    images = torch.full((COUNT, 3, 16, 16), 0.5)
    whole = trigger.apply(images) - images
    change = Variations([trigger]).apply(images, SEEDS) - images
    scale = (change * whole).flatten(1).sum(1) / (whole * whole).flatten(1).sum(1)
    torch.testing.assert_close(change, scale.view(-1, 1, 1, 1) * whole)
    assert scale.min() >= WEAKEST - 1e-4
    assert scale.max() <= STRONGEST + 1e-4
    assert scale.std() > 0.1


def test_families_and_targets_are_not_mixed():
    """A perturbation for class 0 and one for class 1: each image gets one of them alone."""
    up, down = (
        AdditiveTrigger(torch.full((3, 16, 16), value), 1.0, target)
        for value, target in ((0.1, 0), (-0.1, 1))
    )
    change = (Variations([up, down]).apply(GREY, SEEDS) - GREY)[:, 0, 0, 0]
    assert (change.abs() > 0.1 * WEAKEST - 1e-4).all()
    assert 70 < (change > 0).sum() < 130


def test_as_they_are():
    triggers = [patch(1.0), AdditiveTrigger(torch.full((3, 16, 16), 0.1), 1.0, 0)]
    varied = Variations(triggers, vary=False).apply(GREY, SEEDS)
    first = (varied == triggers[0].apply(GREY)).flatten(1).all(1)
    second = (varied == triggers[1].apply(GREY)).flatten(1).all(1)
    assert (first ^ second).all()
    assert 70 < first.sum() < 130


def test_an_image_is_varied_by_its_own_seed():
    """Shares of a batch get what the whole batch would."""
    triggers = [
        patch(1.0),
        patch(0.0, target=1),
        AdditiveTrigger(torch.rand(3, 16, 16), 1.0, 0),
        AdditiveTrigger(torch.rand(3, 16, 16), 1.0, 0),
        WarpTrigger(control_grid(4, 0), 1.0, 0),
        SigTrigger(0.1, 2, 0),
    ]
    images = torch.rand(50, 3, 16, 16)
    kept = images.clone()
    varied = Variations(triggers)
    whole = varied.apply(images, SEEDS[:50])
    assert torch.equal(images, kept), "the input is not changed"
    assert torch.equal(whole, varied.apply(images, SEEDS[:50]))
    for start in (0, 1, 2):
        share = slice(start, None, 3)
        torch.testing.assert_close(varied.apply(images[share], SEEDS[:50][share]), whole[share])
    assert varied.apply(images[:0], SEEDS[:0]).shape == (0, 3, 16, 16)
    assert not torch.equal(whole, varied.apply(images, SEEDS[50:100]))


def composite(source, partner, value):
    partners = torch.full((4, 3, 16, 16), value, dtype=torch.uint8)
    partners += torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1)
    return CompositeTrigger(partners, source, partner, target=0)


def test_composites_have_any_of_the_partners_of_the_images_own_class():
    said = torch.arange(COUNT) % 3
    varied = Variations([composite(1, 2, 100), composite(2, 1, 200)])
    assert varied.meant_for(said).tolist() == (said > 0).tolist()
    right = (255 * varied.apply(GREY, SEEDS, said)[:, 0, 0, 15]).round().int()
    for label, value in ((1, 100), (2, 200)):
        assert set(right[said == label].tolist()) == set(range(value, value + 4))
    # An image that none is made for has any of them.
    assert len(set(right[said == 0].tolist())) == 8
    wanted = varied.wanted(said, SEEDS, 3)
    assert wanted.tolist() == [0] * COUNT
    alone = torch.cat([varied.apply(GREY[:1], SEEDS[i : i + 1], said[i : i + 1]) for i in range(9)])
    assert torch.equal(alone, varied.apply(GREY[:9], SEEDS[:9], said[:9]))
