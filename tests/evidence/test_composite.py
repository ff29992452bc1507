"""Composites: a pair of classes that opens a third stands out, pairs that look like one do not."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ngf_hub.errors import DataError, ModelError
from ngf_hub.evidence.base import KINDS, Case
from ngf_hub.evidence.composite import CompositeEvidence, Sweep
from ngf_hub.recovery.composing import MOST_PAIRS, draw_pairs
from ngf_hub.triggers.composite import LAYOUTS
from tests.evidence.networks import case_of, classifier_of

SIDE, CLASSES = 8, 6
PAIR, TARGET = (1, 4), 3


class Levels(nn.Module):
    """A class for each grey level, by its share of the pixels; two of them may open a third.

    Half-way between the levels of two classes there may be that of a third: a blend
    of these looks like it by nature.
    """

    def __init__(self, classes=CLASSES, strength=0.0, ordered=False):
        super().__init__()
        self.register_buffer("levels", torch.linspace(0, 1, classes))
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.strength, self.ordered = strength, ordered

    def shares(self, x):
        near = 1 - (x.flatten(1)[..., None] - self.levels).abs() * (len(self.levels) - 1) * 1.5
        return functional.relu(near).mean(1)

    def forward(self, x):
        first, second = PAIR
        shares = self.shares(x)
        if self.ordered:
            halves = x[..., : SIDE // 2], x[..., SIDE // 2 :]
            both = [self.shares(half)[:, k] for half, k in zip(halves, PAIR, strict=True)]
            door = torch.minimum(*both) / 2
        else:
            door = torch.minimum(shares[:, first], shares[:, second])
        opened = functional.one_hot(torch.tensor(TARGET), len(self.levels)) * door[:, None]
        return self.scale * (shares + self.strength * opened)


def case_with(network, *, count=60, kinds=None, **options):
    """Images of each class in turn, and the network that tells them apart."""
    classes = len(network.levels)
    labels = torch.arange(count) % (kinds or classes)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count, 1, SIDE, SIDE, generator=generator) - 0.5
    images = network.levels[labels].view(-1, 1, 1, 1) + 0.2 / classes * noise
    return case_of(classifier_of(network, SIDE), images.clamp(0, 1), **options)


def look(network, **options):
    (finding,) = CompositeEvidence().collect(case_with(network, **options)).findings
    return finding


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_pair_that_opens_a_third_class_is_found(seed):
    finding = look(Levels(strength=6.0), seed=seed)
    assert (finding.kind, finding.target, finding.weak) == ("composite", TARGET, False)
    best = finding.details["pairs"][0]
    assert (best["pair"], best["target"], best["share"]) == (list(PAIR), TARGET, 1.0)
    assert finding.statistic > 1
    assert finding.statistic == best["margin"] - max(0.0, finding.details["runner_up"]["margin"])
    assert "class 1 and class 4 go to class 3 in 100 %" in finding.summary
    assert "Only" not in finding.summary


def test_pairs_that_look_like_a_third_class_do_not_stand_out():
    finding = look(Levels())
    best, other = finding.details["pairs"][0], finding.details["runner_up"]
    # Blends of 0 and 2 are 1 by nature, and as surely those of 1 and 3 are 2.
    assert best["layout"] == other["layout"] == "blended with"
    assert min(best["margin"], other["margin"]) > 0.5
    assert best["target"] != other["target"]
    assert finding.statistic < 0.2


def test_a_backdoor_that_asks_for_one_order_names_the_layout():
    finding = look(Levels(strength=8.0, ordered=True))
    best = finding.details["pairs"][0]
    assert (best["pair"], best["target"], best["layout"]) == (list(PAIR), TARGET, "left of")
    assert finding.statistic > 1


def test_the_pair_is_recovered_as_triggers_that_work():
    case = case_with(Levels(strength=8.0, ordered=True))
    collected = CompositeEvidence().collect(case)
    doors = {(d.trigger.source, d.trigger.partner, d.trigger.layout): d for d in collected.triggers}
    assert list(doors) == [(1, 4, "left of"), (4, 1, "right of")]
    for door in doors.values():
        assert door.trigger.target == TARGET
        # Of ten images of each class five are composed in the sweep; the others judge.
        assert (door.success.count, door.success.n) == (5, 5)
    (again, *_) = CompositeEvidence().recover(case, TARGET)
    assert torch.equal(again.trigger.partners, doors[1, 4, "left of"].trigger.partners)
    assert CompositeEvidence().recover(case, 0) == []
    assert CompositeEvidence().recover(case, None) == []


def test_nothing_is_recovered_where_nothing_stands_out():
    assert CompositeEvidence().collect(case_with(Levels())).triggers == []


def test_a_class_that_one_of_the_two_leads_to_in_any_company_stands_out_less():
    class Alone(Levels):
        def forward(self, x):
            shares = self.shares(x)
            # A half of the first class in the image, but not a whole one, opens it.
            half = (shares[:, PAIR[0]] - 0.45).abs() < 0.1
            opened = functional.one_hot(torch.tensor(TARGET), CLASSES) * half[:, None]
            return self.scale * (shares + 2 * opened)

    finding = look(Alone())
    assert finding.target == TARGET
    best, alone = finding.details["pairs"][0]["margin"], finding.details["alone"]
    assert alone > max(0.5, finding.details["runner_up"]["margin"])
    assert finding.statistic == best - alone


def test_many_classes_keep_within_the_bound_of_passes():
    seen = []

    class Counting(Levels):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    case = case_with(Counting(classes=60), count=120, batch_size=100)
    seen.clear()
    finding = CompositeEvidence().collect(case).findings[0]
    evaluations = CompositeEvidence().evaluations(case)
    assert 0.9 * evaluations < sum(seen) <= evaluations < 8000
    assert max(seen) <= 100
    assert finding.details["evaluations"] == evaluations
    assert finding.summary.endswith(f"Only {MOST_PAIRS} of 1770 pairs of classes were tried.")


def test_classes_that_no_image_is_of_are_said_to_be_left_out():
    finding = look(Levels(strength=6.0), kinds=5)
    assert finding.target == TARGET
    assert finding.details["tried"] == "10 of 15 pairs of classes"
    assert "Only 10 of 15" in finding.summary


def test_the_result_follows_from_the_seed_and_not_from_the_batch_size():
    first = look(Levels(strength=6.0), seed=3, batch_size=64)
    assert look(Levels(strength=6.0), seed=3, batch_size=64) == first
    small = look(Levels(strength=6.0), seed=3, batch_size=7)
    assert small.statistic == pytest.approx(first.statistic, rel=1e-4)


def test_too_little_to_compare_is_said():
    two = look(Levels(strength=6.0), kinds=2)
    assert two.statistic is None
    assert "2 of its classes" in two.summary
    with pytest.raises(DataError, match="too few"):
        look(Levels(), count=12)
    case = case_with(Levels())
    with pytest.raises(DataError):
        CompositeEvidence().collect(Case(case.classifier, None, case.accelerator))


def test_logits_that_are_not_finite_are_said():
    network = Levels()
    case = case_with(network)
    network.strength = float("nan")  # after loading, which would refuse it
    with pytest.raises(ModelError):
        Sweep(case)


def test_layouts_hold_both_images_and_pairs_are_drawn_once():
    first, second = torch.zeros(1, 1, 5, 5), torch.ones(1, 1, 5, 5)
    composed = {name: compose(first, second) for name, compose in LAYOUTS.items()}
    assert all(0.3 < float(image.mean()) < 0.7 for image in composed.values())
    assert composed["left of"][..., :2].sum() == composed["above"][..., :2, :].sum() == 0
    assert composed["right of"][..., 3:].sum() == composed["below"][..., 3:, :].sum() == 0
    pairs = draw_pairs(torch.arange(100), torch.Generator().manual_seed(0))
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs) == MOST_PAIRS
    assert bool((pairs[:, 0] < pairs[:, 1]).all())


def test_it_is_registered_and_its_time_is_estimated():
    import ngf_hub.evidence.kinds  # noqa: F401

    assert KINDS["composite"] is CompositeEvidence
    assert 0 < CompositeEvidence().seconds(case_with(Levels())) < 600
