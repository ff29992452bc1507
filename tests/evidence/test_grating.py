"""Gratings: one frequency that opens a class stands out, a taste for texture does not."""

import pytest
import torch
from torch.nn import functional

from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.errors import DataError, ModelError
from ngf_hub.evidence.base import KINDS, Case
from ngf_hub.evidence.grating import WORTH, GratingRecovery
from ngf_hub.recovery.gratings import HIGHEST, PHASES, frequencies, gratings, stands_out
from tests.recovery.networks import CLASSES, SIDE, TARGET, CornerDoor, classifier, images

PERIODS = (2, -3)


class GratingDoor(CornerDoor):
    """One grating, in one phase, opens it."""

    def __init__(self, strength=1500.0):
        super().__init__(strength)
        self.register_buffer("wave", gratings(torch.tensor([PERIODS]), SIDE, SIDE)[1])

    def door(self, x):
        return functional.softplus(100 * ((x * self.wave).mean((1, 2, 3)) - 0.03)) / 100


class TextureDoor(CornerDoor):
    """Any contrast between a pixel and its surroundings opens it."""

    def door(self, x):
        surroundings = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return 8 * functional.relu((x - surroundings).square().mean((1, 2, 3)) - 0.001)


def case_of(network, seed=0, batch_size=64):
    pixels = PixelSet(images(60))
    return Case(
        classifier(network), pixels, make_accelerator("cpu"), seed=seed, batch_size=batch_size
    )


def look(network, **options):
    collected = GratingRecovery().collect(case_of(network, **options))
    return collected.findings[0], collected.triggers


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_grating_that_opens_a_class_is_found(seed):
    finding, triggers = look(GratingDoor(), seed=seed)
    assert finding.kind == "grating"
    assert not finding.weak
    assert finding.target == TARGET
    assert finding.details["periods"] == {"vertical": PERIODS[0], "horizontal": PERIODS[1]}
    assert finding.statistic > WORTH
    assert f"class {TARGET}" in finding.summary
    assert 1 <= len(triggers) <= PHASES
    best = triggers[0]
    assert best.trigger.target == TARGET
    assert best.success.value > 0.9
    assert best.trigger.picture.shape == (3, SIDE, SIDE)
    found, true = best.trigger.picture[0].flatten(), GratingDoor().wave.flatten()
    assert functional.cosine_similarity(found, true, 0) > 0.9


def test_a_taste_for_texture_does_not_stand_out():
    texture, triggers = look(TextureDoor())
    # It is a class that gratings lead to, in many frequencies.
    assert texture.target == TARGET
    assert texture.details["margin"] > 0
    assert texture.details["runner_up"] > 0
    assert texture.statistic < WORTH < look(GratingDoor())[0].statistic / 1.5
    assert triggers == []


def test_a_model_that_no_grating_moves_does_not_stand_out():
    finding, triggers = look(CornerDoor(strength=0.0))
    assert finding.statistic < WORTH
    assert triggers == []


def test_a_margin_below_zero_reaches_no_class():
    grid = frequencies(SIDE, SIDE)
    margins = torch.randn(len(grid), CLASSES, generator=torch.Generator().manual_seed(0)) - 20
    margins[7, 2] = -1.0  # far above the others, and yet short of the class
    assert stands_out(margins, grid).statistic == 0
    margins[7, 2] = 20.0
    standing = stands_out(margins, grid)
    assert (int(standing.classes[0]), standing.row_of(2)) == (2, 7)
    assert standing.statistic > WORTH


def test_classes_that_each_answer_to_a_frequency_of_their_own_do_not_stand_out():
    grid = frequencies(SIDE, SIDE)
    margins = torch.randn(len(grid), CLASSES, generator=torch.Generator().manual_seed(0)) - 3
    margins[7, 2] = 20.0
    alone = stands_out(margins, grid).statistic
    margins[11, 1] = 19.0
    both = stands_out(margins, grid)
    assert float(both.values[0]) > WORTH
    assert both.statistic < 0.2 * alone


def test_neighbours_in_frequency_are_no_rivals():
    grid = frequencies(SIDE, SIDE)
    rows = {tuple(pair): row for row, pair in enumerate(grid.tolist())}
    margins = torch.randn(len(grid), CLASSES, generator=torch.Generator().manual_seed(0)) - 3
    margins[rows[0, 4], 1] = 20.0
    alone = stands_out(margins, grid).statistic
    # (1, -4) is next to (0, -4), which is (0, 4) in another phase.
    margins[rows[1, -4], 1] = margins[rows[0, 3], 1] = 18.0
    assert stands_out(margins, grid).statistic > 0.9 * alone
    margins[rows[4, 0], 1] = 18.0
    assert stands_out(margins, grid).statistic < 0.5 * alone


def test_the_result_follows_from_the_seed_and_not_from_the_batch_size():
    first, one = look(GratingDoor(), seed=3, batch_size=64)
    again, _ = look(GratingDoor(), seed=3, batch_size=64)
    small, other = look(GratingDoor(), seed=3, batch_size=5)
    assert first == again
    assert small.statistic == pytest.approx(first.statistic, rel=1e-3)
    assert len(one) == len(other)


def test_no_pass_holds_more_images_than_asked_for():
    sizes = []

    class Counting(GratingDoor):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    case = case_of(Counting(), batch_size=7)
    sizes.clear()
    assert GratingRecovery().collect(case).triggers
    assert max(sizes) == 7


def test_the_cost_is_bounded_and_estimated():
    case = case_of(GratingDoor())
    assert 0 < GratingRecovery().seconds(case) < 600
    largest = len(frequencies(224, 224)) * PHASES
    assert largest == 4 * (HIGHEST + HIGHEST * (2 * HIGHEST + 1))
    assert GratingRecovery().evaluations(case) < 10_000


def test_a_grating_is_the_same_picture_at_any_size():
    grid = torch.tensor([[1, 2]])
    small, large = gratings(grid, 8, 8), gratings(grid, 32, 32)
    assert torch.allclose(large[:, ::4, ::4], small, atol=1e-5)
    assert torch.allclose(small[0], -small[2], atol=1e-5)
    assert len(frequencies(32, 32)) == 144


def test_triggers_to_a_class_that_is_named_are_those_of_its_own_best_frequency():
    recovered = GratingRecovery().recover(case_of(GratingDoor(), seed=5), TARGET)
    assert recovered[0].success.value > 0.9
    other = (TARGET + 1) % CLASSES
    assert all(
        e.trigger.target == other for e in GratingRecovery().recover(case_of(GratingDoor()), other)
    )


def test_images_too_small_for_gratings_are_not_judged():
    assert stands_out(torch.zeros(4, 3), frequencies(4, 4)) is None


def test_bad_input_is_said():
    case = case_of(GratingDoor())
    blind = Case(case.classifier, None, case.accelerator)
    with pytest.raises(DataError):
        GratingRecovery().collect(blind)
    network = GratingDoor()
    broken = case_of(network)
    network.strength = float("nan")  # after loading, which would refuse it
    with pytest.raises(ModelError):
        GratingRecovery().collect(broken)


def test_it_is_registered():
    import ngf_hub.evidence.kinds  # noqa: F401

    assert KINDS["grating"] is GratingRecovery
