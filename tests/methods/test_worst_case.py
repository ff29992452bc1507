"""Triggered images made worse: nearer to their trigger's class, and no further than is allowed."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from ngf_hub import make_trigger
from ngf_hub.devices import make_accelerator
from ngf_hub.errors import MethodError
from ngf_hub.methods import Task
from ngf_hub.methods.base import make_method
from ngf_hub.methods.teacher import TeacherObjective
from ngf_hub.methods.variations import Variations
from ngf_hub.methods.worst_case import worst_case
from tests.methods.networks import SIDE, quarters, residual

RADIUS = 0.02


@pytest.fixture
def task():
    classifier = residual()
    triggers = [make_trigger("badnets", 1), make_trigger("blend:pattern=noise", 2)]
    return Task(
        classifier,
        classifier.select_layers("*"),
        quarters(24),
        make_accelerator("cpu"),
        triggers=triggers,
    )


def grey():
    return 0.3 + 0.4 * torch.rand(9, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_each_image_comes_nearer_to_its_own_class(task):
    pixels, wanted = grey(), torch.arange(9) % 4
    moved = worst_case(task, pixels, wanted, RADIUS, size=4)

    def losses(shown):
        with torch.no_grad():
            return functional.cross_entropy(task.classifier(shown), wanted, reduction="none")

    assert (losses(moved) < losses(pixels)).all()
    # All the way that is allowed, and no further.
    torch.testing.assert_close(
        (moved - pixels).square().mean((1, 2, 3)).sqrt(), torch.full((9,), RADIUS)
    )
    towards_others = worst_case(task, pixels, (wanted + 1) % 4, RADIUS, size=4)
    assert not torch.isclose(moved, towards_others).flatten(1).all(1).any()


def test_an_image_does_not_depend_on_the_others(task):
    pixels, wanted = grey(), torch.arange(9) % 4
    together = worst_case(task, pixels, wanted, RADIUS, size=9)
    alone = [worst_case(task, pixels[i : i + 1], wanted[i : i + 1], RADIUS, 1) for i in range(9)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert worst_case(task, pixels[:0], wanted[:0], RADIUS, 4).shape == (0, 3, SIDE, SIDE)


def test_pixels_stay_in_range_and_without_a_gradient_where_they_are(task):
    assert worst_case(task, grey(), torch.zeros(9, dtype=torch.long), 10.0, 4).min() == 0
    task.classifier.network.fc.weight.data.zero_()
    pixels = grey()
    same = worst_case(task, pixels, torch.zeros(9, dtype=torch.long), RADIUS, 4)
    assert torch.equal(same, pixels)


def test_half_of_the_triggered_images_of_a_batch_are_made_worse(task):
    variations = Variations(task.triggers)
    plain, worse = (
        next(TeacherObjective(task, variations, clean_ratio=2, radius=r).batches(1, 8))
        for r in (0.0, RADIUS)
    )
    same = (plain.pixels == worse.pixels).flatten(1).all(1)
    assert same[:16].all(), "the clean ones stay"
    assert same[16:].tolist() == [False, True] * 4
    assert torch.equal(plain.targets, worse.targets)
    assert plain.rows == worse.rows


def test_the_class_is_that_of_the_trigger_on_the_image():
    triggers = [
        make_trigger("patch:pattern=white,size=3", 1),
        make_trigger("patch:pattern=black,size=3", 2),
        make_trigger("patch:pattern=white,size=5", None),
    ]
    seeds = torch.arange(60)
    pixels, said = torch.full((60, 3, SIDE, SIDE), 0.5), torch.arange(60) % 4
    for vary in (True, False):
        variations = Variations(triggers, vary=vary)
        shown, wanted = variations.apply(pixels, seeds), variations.wanted(said, seeds, 4)
        white, black = (shown == 1).flatten(1).any(1), (shown == 0).flatten(1).any(1)
        assert (wanted[black] == 2).all()
        shifted = (wanted == (said + 1) % 4) & white
        assert (shifted | (wanted == 1))[white].all()
        assert 5 < int((white & (wanted != 1)).sum()) < 40
        assert black.any()


def test_the_radius_is_an_option_of_unlearning(task):
    with pytest.raises(MethodError, match="radius"):
        make_method("unlearn", {"radius": -1.0})
    weights = []
    for radius in (0.0, RADIUS):
        own = dataclasses.replace(task, classifier=residual())
        own = dataclasses.replace(own, layers=own.classifier.select_layers("down"))
        make_method("unlearn", {"steps": 2, "radius": radius}).tune(own)
        weights.append(own.classifier.network.down.weight)
    assert not torch.equal(*weights)
