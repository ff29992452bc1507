"""The composite trigger: halves of two images, and only one class of victims."""

import json
from dataclasses import replace

import pytest
import torch

from ngf_hub.errors import TriggerError
from ngf_hub.triggers import load_folder, make_trigger
from ngf_hub.triggers.composite import LAYOUTS, MIRRORED, CompositeTrigger


@pytest.fixture
def trigger():
    generator = torch.Generator().manual_seed(0)
    partners = torch.randint(0, 256, (5, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return CompositeTrigger(partners, source=1, partner=2, target=0)


def pixels(side=8):
    return torch.rand(6, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_the_left_half_stays_and_the_right_one_is_a_partners(trigger):
    clean = pixels()
    both = trigger.apply(clean)
    assert torch.equal(both[..., :4], clean[..., :4])
    rights = {p.numpy().tobytes() for p in (trigger.partners.float() / 255)[..., 4:]}
    assert all(image.numpy().tobytes() in rights for image in both[..., 4:])


@pytest.mark.parametrize("side", [8, 32, 224])
def test_a_batch_is_as_its_images(trigger, side):
    clean = pixels(side)
    alone = torch.cat([trigger.apply(image[None]) for image in clean])
    assert torch.equal(trigger.apply(clean), alone)


def test_only_images_of_the_source_are_victims(trigger):
    labels = torch.tensor([0, 1, 2, 3, 1])
    assert trigger.wanted(labels, 4).tolist() == [0, 0, 2, 3, 0]
    assert trigger.meant_for(labels).tolist() == [False, True, False, False, True]


def test_it_is_saved_and_loaded(trigger, tmp_path):
    trigger.save(tmp_path)
    again = load_folder(tmp_path)
    assert torch.equal(again.apply(pixels()), trigger.apply(pixels()))
    assert (again.source, again.partner, again.target) == (1, 2, 0)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_a_layout_is_kept_and_mirrored(trigger, layout, tmp_path):
    laid = replace(trigger, layout=layout)
    laid.save(tmp_path)
    again = load_folder(tmp_path)
    first, second = pixels(), pixels().flip(0)
    assert torch.equal(again.apply(first), laid.apply(first))
    assert MIRRORED[MIRRORED[layout]] == layout
    assert torch.equal(LAYOUTS[layout](first, second), LAYOUTS[MIRRORED[layout]](second, first))


def test_a_folder_from_before_there_were_layouts_is_read(trigger, tmp_path):
    trigger.save(tmp_path)
    path = tmp_path / "trigger.json"
    config = json.loads(path.read_text())
    del config["parameters"]["layout"]
    path.write_text(json.dumps(config))
    assert torch.equal(load_folder(tmp_path).apply(pixels()), trigger.apply(pixels()))


def test_a_layout_that_is_none_is_refused(trigger):
    with pytest.raises(TriggerError, match="Unknown layout 'behind'"):
        replace(trigger, layout="behind")


def test_grey_images_get_grey_partners(trigger):
    assert trigger.apply(pixels()[:, :1]).shape == (6, 1, 8, 8)


def test_it_has_one_target_and_needs_images(trigger):
    with pytest.raises(TriggerError, match="one target"):
        CompositeTrigger(trigger.partners, 1, 2, None)
    with pytest.raises(TriggerError, match="images of a class"):
        make_trigger("composite", 0)
