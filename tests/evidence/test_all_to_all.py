"""The evidence of all-to-all backdoors: the shift by one class against other shifts."""

import math

import pytest

from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evidence.all_to_all import AllToAll, next_stands_out, shifts
from ngf_hub.evidence.base import Case
from ngf_hub.evidence.recovered import PatchRecovery
from ngf_hub.methods.cure.suspicion import unseen_triggers
from ngf_hub.report import Rate
from tests.recovery.networks import CLASSES, CornerDoor, NextDoor, classifier, images


def case_of(network, count=150):
    model = classifier(network)
    return Case(model, PixelSet(images(count)), make_accelerator("cpu"), batch_size=128)


@pytest.fixture(scope="module")
def case():
    return case_of(NextDoor())


@pytest.fixture(scope="module")
def collected(case):
    return AllToAll().collect(case)


def test_a_patch_that_shifts_classes_stands_out(collected):
    (finding,) = collected.findings
    assert finding.kind == "all-to-all"
    assert finding.target is None
    assert finding.statistic > 5
    assert "each class goes to the next" in finding.summary
    assert max(finding.details["shifts"], key=finding.details["shifts"].get) == "1"


def test_its_triggers_ask_for_the_next_class_and_work_on_other_images(case, collected):
    best = collected.triggers[0]
    assert best.trigger.target is None
    assert best.success.value > 0.8
    pixels = images(80, seed=5)
    clean = case.classifier(pixels).argmax(1)
    moved = case.classifier(best.trigger.apply(pixels)).argmax(1)
    assert (moved == best.trigger.wanted(clean, CLASSES)).float().mean() > 0.8
    # It lies on the corner that opens the door.
    assert best.trigger.opacity[:, -4:, -4:].sum() > 0.5 * best.trigger.opacity.sum()


def test_without_a_door_no_shift_stands_out():
    (finding,) = AllToAll().collect(case_of(NextDoor(share=0.0))).findings
    assert finding.statistic < 2
    assert finding.summary.startswith("No patch sends each class to the next")


def test_a_door_to_one_class_is_not_all_to_all():
    (finding,) = AllToAll().collect(case_of(CornerDoor())).findings
    assert finding.statistic < 2


def test_further_triggers_of_all_to_all_are_recovered_by_this_kind_alone(case):
    assert AllToAll().recover(case, 3) == []
    assert PatchRecovery().recover(case, None) == []
    triggers = unseen_triggers(case, ["patch", "all-to-all"], None)
    assert triggers["patch"] == []
    assert triggers["all-to-all"]
    assert all(trigger.target is None for trigger in triggers["all-to-all"])


def test_two_classes_have_no_other_shift_to_compare_with():
    class Two(NextDoor):
        def forward(self, x):
            return super().forward(x)[:, :2]

    (finding,) = AllToAll().collect(case_of(Two())).findings
    assert finding.statistic is None
    assert "too few classes" in finding.summary


@pytest.mark.parametrize("classes", [3, 4, 7, 10, 43, 1000])
def test_shifts_are_different_and_none_maps_a_class_to_itself(classes):
    tried = shifts(classes)
    assert tried[0] == 1
    assert len(set(tried)) == len(tried) == min(classes - 1, 6)
    assert all(0 < shift < classes for shift in tried)


def test_the_statistic_counts_standard_errors():
    def rates(*hits, n=60):
        return {shift: Rate(count=count, n=n) for shift, count in enumerate(hits, 1)}

    assert next_stands_out(rates(12, 12, 12, 12)) == pytest.approx(0)
    assert next_stands_out(rates(6, 12, 12, 12)) < 0
    # A quarter against three quarters: the angles are pi / 6 and pi / 3.
    assert next_stands_out(rates(45, 15, 15, 60)) == pytest.approx(2 * math.sqrt(60) * math.pi / 6)
    # Few images say less.
    assert next_stands_out(rates(3, 1, n=4)) < next_stands_out(rates(45, 15))
