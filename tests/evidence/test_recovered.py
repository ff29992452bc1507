"""The evidence of trigger recovery: what it says, what it brings, what it costs."""

import pytest
import torch

from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evidence.base import KINDS, Case
from ngf_hub.evidence.recovered import MANY, AdditiveRecovery, PatchRecovery
from ngf_hub.unchanged import unchanged
from tests.recovery.networks import TARGET, CornerDoor, WaveDoor, classifier, images


def case_of(network, count=60, seed=0, batch_size=64):
    model = classifier(network)
    return Case(
        model, PixelSet(images(count)), make_accelerator("cpu"), seed=seed, batch_size=batch_size
    )


@pytest.mark.parametrize(
    ("kind", "network"), [(PatchRecovery, CornerDoor), (AdditiveRecovery, WaveDoor)]
)
def test_a_door_is_found_and_its_triggers_are_brought(kind, network):
    case = case_of(network())
    collected = kind().collect(case)
    (finding,) = collected.findings
    assert finding.kind == kind.name
    assert finding.target == TARGET
    assert finding.statistic > 0.35
    assert f"class {TARGET}" in finding.summary
    assert finding.details["sizes"][str(TARGET)] == min(finding.details["sizes"].values())
    assert collected.triggers
    assert all(found.trigger.target == TARGET for found in collected.triggers)
    assert collected.triggers[0].success.value > 0.9


def test_without_a_door_nothing_is_brought():
    collected = PatchRecovery().collect(case_of(CornerDoor(strength=0.0)))
    assert collected.findings[0].statistic < 0.35
    assert collected.triggers == []


def test_the_model_is_as_before():
    case = case_of(CornerDoor())
    weights = {name: value.clone() for name, value in case.classifier.state_dict().items()}
    with unchanged(case.classifier):
        PatchRecovery().collect(case)
    assert all(parameter.requires_grad for parameter in case.classifier.parameters())
    after = case.classifier.state_dict()
    assert all(torch.equal(after[name], value) for name, value in weights.items())


def test_the_cost_grows_less_than_the_classes():
    for name in ("patch", "additive", "warp"):
        kind = KINDS[name]()
        assert kind.evaluations(43) <= 3 * kind.evaluations(10)
        # Short first stages bear the most of many classes.
        assert kind.evaluations(1000) < 1.5 * kind.evaluations(MANY)


def test_up_to_64_classes_nothing_is_screened():
    for name in ("patch", "additive", "warp"):
        kind = KINDS[name]()
        assert kind.stages(MANY) == [kind.first, kind.last]
        assert len(kind.stages(MANY + 1)) == 4


def test_the_estimate_is_stated_evaluations_times_a_timed_pass():
    case = case_of(CornerDoor())
    assert 0 < PatchRecovery().seconds(case) < 600


def test_two_classes_are_enough():
    class Two(CornerDoor):
        def forward(self, x):
            return super().forward(x)[:, [0, 3]]

    finding = PatchRecovery().collect(case_of(Two())).findings[0]
    assert len(finding.details["sizes"]) == 2
    assert finding.statistic >= 0
