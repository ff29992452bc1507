"""The search finds the door that was built in, for all classes at once as for one."""

import math

import pytest
import torch

from ngf_hub.errors import DataError, ModelError
from ngf_hub.recovery.additive import AdditiveSpace
from ngf_hub.recovery.patch import PatchSpace
from ngf_hub.recovery.pool import ShiftPool, make_pools
from ngf_hub.recovery.search import Stage, search
from ngf_hub.recovery.statistic import anomaly_index, stands_out
from tests.recovery.networks import CLASSES, SIDE, TARGET, CornerDoor, WaveDoor, classifier, images

ALL = torch.arange(CLASSES)
STAGES = [Stage(60, 4, 4), Stage(60, 8, 4)]


def test_the_smallest_patch_leads_to_the_door_and_lies_on_it(make_setting):
    setting, judging = make_setting(CornerDoor())
    found = search(PatchSpace, setting, ALL, STAGES)
    assert len(found.targets) == 4
    assert int(found.targets[0]) == TARGET
    assert stands_out(found.sizes.tolist()) > math.log(2)
    trigger = PatchSpace(found.state, (3, SIDE, SIDE)).trigger(0, TARGET)
    assert trigger.opacity[:, -3:, -3:].sum() > 0.8 * trigger.opacity.sum()
    assert judging.success(setting.classifier, trigger, 16).value > 0.4


def test_a_faint_pattern_over_the_image_is_found_by_the_additive_family(make_setting):
    setting, judging = make_setting(WaveDoor())
    found = search(AdditiveSpace, setting, ALL, STAGES)
    assert int(found.targets[0]) == TARGET
    assert stands_out(found.sizes.tolist()) > math.log(1.5)
    trigger = AdditiveSpace(found.state, (3, SIDE, SIDE)).trigger(0, TARGET)
    wave = setting.classifier.network.wave
    alike = torch.nn.functional.cosine_similarity(
        trigger.picture.mean(0).flatten(), wave.flatten(), dim=0
    )
    assert alike > 0.5
    assert judging.success(setting.classifier, trigger, 16).value > 0.8


def test_without_a_door_no_class_stands_out_as_much(make_setting):
    with_door = search(PatchSpace, make_setting(CornerDoor())[0], ALL, STAGES)
    without = search(PatchSpace, make_setting(CornerDoor(strength=0.0))[0], ALL, STAGES)
    assert stands_out(without.sizes.tolist()) < 0.5 * stands_out(with_door.sizes.tolist())


def test_the_model_and_the_images_stay(make_setting):
    setting, _ = make_setting(CornerDoor())
    weights = setting.classifier.network.colours.clone()
    pixels = setting.pool.pixels.clone()
    search(PatchSpace, setting, ALL, [Stage(3, 4, 2)])
    assert torch.equal(setting.classifier.network.colours, weights)
    assert torch.equal(setting.pool.pixels, pixels)


def test_a_seed_gives_the_same_again(make_setting):
    first, second = (
        search(PatchSpace, make_setting(CornerDoor(), seed=3)[0], ALL, [Stage(10, 4, 5)])
        for _ in range(2)
    )
    assert torch.equal(first.sizes, second.sizes)
    assert all(torch.equal(a, b) for a, b in zip(first.state, second.state, strict=True))


def test_no_pass_is_larger_than_the_batch_and_only_survivors_are_kept(make_setting):
    setting, _ = make_setting(CornerDoor(), batch_size=8)
    seen = []
    hook = setting.classifier.register_forward_pre_hook(
        lambda module, given: seen.append(len(given[0]))
    )
    found = search(PatchSpace, setting, ALL, [Stage(5, 4, 2), Stage(5, 4, 1)])
    hook.remove()
    assert max(seen) == 8
    assert found.targets.shape == (1,)
    # Five classes in passes of two classes, then two classes in one.
    assert len(seen) == 5 * 3 + 5


def test_a_paired_stage_shows_all_classes_the_same(make_setting):
    # In passes of two classes, which draw nothing of their own.
    setting, _ = make_setting(CornerDoor(), batch_size=2)
    seen = []
    hook = setting.classifier.register_forward_pre_hook(
        lambda module, given: seen.append(given[0].detach())
    )
    search(PatchSpace, setting, ALL, [Stage(3, 1, CLASSES, paired=True)])
    hook.remove()
    predicted = setting.pool.predicted
    shown = setting.pool.nearest(ALL, torch.tensor([0, 7, 7]))
    assert shown.shape == (CLASSES, 3)
    for label, places in zip(ALL, shown, strict=True):
        assert not (predicted[places] == label).any()
        assert (places == torch.tensor([0, 7, 7]))[predicted[[0, 7, 7]] != label].all()
    # The first step: the same start on the same image, of all but the class of this image.
    firsts = torch.cat([seen[0], seen[3], seen[6]])
    alike = (firsts[:, None] - firsts[None]).abs().amax((2, 3, 4)) == 0
    assert int(alike.sum(1).max()) >= CLASSES - 1


def test_a_paired_stage_ranks_by_size_and_loss_not_by_what_worked(make_setting):
    setting, _ = make_setting(CornerDoor())
    found = search(PatchSpace, setting, ALL, [Stage(12, 2, CLASSES, paired=True)])
    assert int(found.targets[0]) == TARGET
    space = PatchSpace(found.state, (3, SIDE, SIDE))
    assert bool((found.sizes >= space.size().detach()).all())
    assert bool((found.sizes < PatchSpace.largest((3, SIDE, SIDE))).all())


def test_progress_runs_to_its_end(make_setting):
    setting, _ = make_setting(CornerDoor(), batch_size=8)
    done = []

    def track(items, description, total=None):
        for item in items:
            yield item
            done.append(description)

    setting.track = track
    search(PatchSpace, setting, ALL, [Stage(5, 4, 2)])
    assert done == ["Searching patch triggers (1/1)"] * 15


def test_logits_that_are_not_finite_are_told(make_setting):
    class Broken(CornerDoor):
        def forward(self, x):
            return super().forward(x) / (x.amax((1, 2, 3)) < 0.6)[:, None]

    setting, _ = make_setting(CornerDoor())
    setting.classifier.network = Broken()
    with pytest.raises(ModelError, match="not finite"):
        search(PatchSpace, setting, ALL, STAGES)


def test_too_few_images_are_told():
    from ngf_hub.data import PixelSet

    with pytest.raises(DataError, match="too few"):
        make_pools(classifier(CornerDoor()), PixelSet(images(10)), batch_size=8, seed=0)


def test_a_target_is_tried_on_images_of_other_classes(make_setting):
    setting, judging = make_setting(CornerDoor())
    pool = setting.pool
    common = int(pool.predicted.mode().values)
    generator = torch.Generator().manual_seed(0)
    drawn = pool.draw(torch.tensor([common]), 50, generator)[0]
    assert not (setting.classifier(drawn).argmax(1) == common).any()
    assert not {row.numpy().tobytes() for row in pool.pixels} & {
        row.numpy().tobytes() for row in judging.pixels
    }


def test_what_is_wanted_of_an_image_is_the_class_searched_for_or_a_shift_of_its_own(make_setting):
    pool = make_setting(CornerDoor())[0].pool
    targets = torch.tensor([1, 4])
    places = pool.chosen(targets, 6, torch.Generator().manual_seed(0))
    assert pool.wanted(targets, places).tolist() == [[1] * 6, [4] * 6]
    assert pool.asked(4) == 4
    shifted = ShiftPool(pool, CLASSES)
    places = shifted.chosen(targets, 6, torch.Generator().manual_seed(0))
    expected = (pool.predicted[places] + targets[:, None]) % CLASSES
    assert torch.equal(shifted.wanted(targets, places), expected)
    assert shifted.asked(1) is None
    with pytest.raises(ValueError, match="shift is 1"):
        shifted.asked(2)


def test_the_statistic_is_a_ratio_and_the_anomaly_index_that_of_the_paper():
    assert stands_out([4.0, 1.0, 4.0, 100.0]) == pytest.approx(math.log(4))
    assert stands_out([2.0, 3.0]) == pytest.approx(math.log(1.5))
    # Median 10, absolute deviations 8, 1, 0, 1, 2 with the median 1.
    assert anomaly_index([2.0, 9.0, 10.0, 11.0, 12.0]) == pytest.approx(8 / 1.4826)
    assert anomaly_index([5.0, 5.0, 5.0]) == 0.0
