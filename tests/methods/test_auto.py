"""``auto``: it finds, forgets and checks; it leaves alone what it finds nothing in."""

import copy
from types import SimpleNamespace

import pytest
import torch

from ngf_hub import purify
from ngf_hub.attacks.scratch import make_classifier
from ngf_hub.cure_report import RankedLayer
from ngf_hub.data import PixelSet, load_images
from ngf_hub.demo import ARCHITECTURE, train_badnets
from ngf_hub.errors import DataError, MethodError
from ngf_hub.evidence.base import Recovered
from ngf_hub.evidence.verdict import Judgement
from ngf_hub.methods.auto import GIVEN, WORST_CASE, Plan, plans
from ngf_hub.methods.base import Outcome, make_method
from ngf_hub.methods.cure.layers import promising
from ngf_hub.methods.cure.suspicion import Suspicion
from ngf_hub.methods.unlearn import NEAR
from ngf_hub.report import Rate
from ngf_hub.triggers import make_trigger
from ngf_hub.triggers.folders import load_triggers
from tests.methods.networks import make_task

DIGITS = [str(digit) for digit in range(10)]


def small_classifier():
    """For images so small that a search for all classes takes half a minute."""
    return make_classifier(ARCHITECTURE, num_classes=10, class_names=DIGITS, size=16, seed=0)


@pytest.fixture(scope="module")
def backdoored():
    """BadNets on digits: classifier, true trigger, images without labels, images that judge."""
    classifier = small_classifier()
    everything = load_images("digits", samples=None, judge_samples=None, seed=0)
    train, _ = everything.pixels_for(classifier)
    trigger = train_badnets(classifier, train, epochs=8)
    tune, judge = load_images("digits", samples=250, judge_samples=300, seed=0).pixels_for(
        classifier
    )
    return classifier, trigger, PixelSet(tune.pixels), judge


def run(backdoored, *, trigger=None, tune=None, **settings):
    classifier, _, images, judge = backdoored
    return purify(
        copy.deepcopy(classifier),
        images if tune is None else tune,
        judge=judge.pixels,
        judge_labels=judge.labels,
        trigger=trigger,
        device="cpu",
        **settings,
    )


@pytest.fixture(scope="module")
def cured(backdoored):
    return run(backdoored, trigger=backdoored[1])


@pytest.mark.slow
def test_the_true_trigger_is_forgotten_without_labels(backdoored, cured):
    report = cured.report
    assert report.before.attack_success.value > 0.9
    assert report.after.attack_success.value < 0.05
    assert report.after.recovered_accuracy.value > 0.85
    assert report.before.accuracy.value - report.after.accuracy.value < 0.03
    assert report.cure.suspected.verdict == "backdoored"
    assert report.cure.suspected.target == backdoored[1].target


@pytest.mark.slow
def test_what_it_was_told_of_and_what_not_are_apart(cured):
    cure = cured.report.cure
    for seen in (True, False):
        before, after = cure.pooled(seen=seen)
        assert before.value > 0.9
        assert after.value < before.value
    taken = [attempt for attempt in cure.attempts if attempt.taken]
    assert len(taken) == 1
    assert cured.report.method.layers == taken[0].layers
    # The state follows from what it was not told of.
    fine = cure.pooled(seen=False)[1].interval[1] <= 0.1 and taken[0].success.interval[1] <= 0.1
    assert (cure.state == "purified") == (fine and cure.again.verdict != "backdoored")


@pytest.mark.slow
def test_only_the_layer_that_is_named_has_changed(backdoored, cured):
    before, after = backdoored[0].network.state_dict(), cured.model.state_dict()
    changed = {
        name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    assert changed
    assert changed <= set(cured.report.method.layers)


def test_too_few_images_are_refused(backdoored):
    with pytest.raises(DataError, match="too few"):
        run(backdoored, tune=backdoored[2].select(range(30)))


def ranked(scores):
    """Layers in the order of execution, with these scores."""
    layers = [
        (SimpleNamespace(depth=depth), RankedLayer(name=name, score=score))
        for depth, (name, score) in enumerate(scores.items())
    ]
    return sorted(layers, key=lambda entry: -entry[1].score)


def test_the_first_plan_is_the_most_promising():
    layers = ranked({"a": 9.0, "b": 3.0, "c": 5.0, "d": 4.0, "e": 1.0, "f": 2.0})
    assert promising(layers) == ["c", "f"]
    everything = ["a", "c", "d", "b", "f", "e"]
    assert plans(layers, ["patch", "additive"]) == [
        Plan(["c", "f"], ["patch"], NEAR),
        Plan(["a"], ["patch"], NEAR),
        Plan(["c", "f"], ["patch"], WORST_CASE),
        Plan(["a", "c", "f"], ["patch"], WORST_CASE),
        Plan(everything, ["patch"], WORST_CASE),
        Plan(["c", "f"], ["patch", "additive"], WORST_CASE),
        Plan(everything, ["patch", "additive"], WORST_CASE),
    ]
    alone = plans(ranked({"a": 1.0}), [GIVEN])
    assert alone == [Plan(["a"], [GIVEN], NEAR), Plan(["a"], [GIVEN], WORST_CASE)]


def test_a_plan_is_less_only_where_nothing_is_more():
    plan = Plan(["c", "f"], ["patch"], WORST_CASE)
    assert Plan(["c"], ["patch"]).is_less(plan)
    assert not Plan(["c", "f"], ["patch"]).is_less(plan)
    assert not Plan(["c"], ["patch", "additive"]).is_less(plan)
    assert not Plan(["c"], ["patch"], WORST_CASE).is_less(Plan(["c", "f"], ["patch"]))


@pytest.mark.parametrize(
    ("p_value", "why"),
    [(0.03, "Near. The option force forgets it all the same."), (0.3, "Near.")],
)
def test_how_to_go_on_is_said_where_a_clean_model_is_unlikely(p_value, why, monkeypatch):
    judgement = Judgement([], "nothing found", p_value=p_value, summary="Near.")
    door = Recovered(make_trigger("badnets", target=3), size=1.0, success=Rate(count=9, n=9))
    suspicion = Suspicion(judgement, 3, {"patch": [door]})
    monkeypatch.setattr("ngf_hub.methods.auto.suspect", lambda *_: suspicion)
    classifier = small_classifier()
    clean = load_images("digits", samples=100, judge_samples=10, seed=0)
    tune, judge = clean.pixels_for(classifier)
    result = purify(classifier, tune, judge=judge.pixels, device="cpu")
    assert result.report.cure.why == why
    assert result.report.method.steps == 0


def test_options_out_of_range_are_refused():
    with pytest.raises(MethodError, match="attempts"):
        make_method("auto", {"attempts": 0})


def test_layers_that_the_user_names_are_tuned_as_they_are(backdoored, monkeypatch):
    """One step shows it: all that were named, and nothing else."""
    classifier, trigger, images, judge = backdoored
    # What a search finds is not what this is about, and it takes long.
    nothing = Suspicion(Judgement([], "nothing found", p_value=0.5), None)
    monkeypatch.setattr("ngf_hub.methods.auto.suspect", lambda *_: nothing)
    monkeypatch.setattr("ngf_hub.methods.auto.unseen_triggers", lambda *_: {"patch": [trigger]})
    result = purify(
        copy.deepcopy(classifier),
        images.select(range(120)),
        judge=judge.pixels[:50],
        judge_labels=judge.labels[:50],
        layer="layer4.*",
        forget=[trigger],
        options={"steps": 1, "rounds": 1, "attempts": 1},
        device="cpu",
    )
    named = [layer.name for layer in classifier.select_layers("layer4.*")]
    (attempt,) = result.report.cure.attempts
    assert attempt.layers == result.report.method.layers == named
    assert attempt.kinds == [GIVEN]


def test_a_kind_that_is_left_is_told_next(backdoored, monkeypatch):
    classifier, trigger, images, _ = backdoored
    harmless = make_trigger("blend:pattern=noise,ratio=0.001", trigger.target)
    rate = Rate(count=9, n=10)
    found = {"patch": [Recovered(harmless, 1.0, rate)], "grating": [Recovered(trigger, 1.0, rate)]}
    suspicion = Suspicion(Judgement([], "backdoored", 0, 0.001), 0, found, list(found))
    unseen = {"patch": [harmless], "grating": [trigger]}
    monkeypatch.setattr("ngf_hub.methods.auto.suspect", lambda *_: suspicion)
    monkeypatch.setattr("ngf_hub.methods.auto.unseen_triggers", lambda *_: unseen)
    monkeypatch.setattr("ngf_hub.methods.auto.tune", lambda *_: Outcome([], 1))
    outcome = make_method("auto", {"rounds": 1, "attempts": 3}).tune(
        make_task(copy.deepcopy(classifier), images.select(range(120)))
    )
    first, second, third = outcome.cure.attempts
    assert (first.kinds, first.left, first.radius) == (["patch"], ["grating"], NEAR)
    assert (second.layers, second.radius) == (first.layers, NEAR)
    assert second.kinds == third.kinds == ["patch", "grating"]
    assert third.radius == WORST_CASE


def test_what_a_new_search_finds_is_told_before_more_is_asked(backdoored, monkeypatch):
    classifier, trigger, images, _ = backdoored
    judgement = Judgement([], "backdoored", 0, 0.001)
    searches = iter(
        Suspicion(judgement, 0, {kind: [Recovered(trigger, 1.0, Rate(count=9, n=10))]}, [kind])
        for kind in ("patch", "grating", "patch")
    )
    monkeypatch.setattr("ngf_hub.methods.auto.suspect", lambda *_: next(searches))
    monkeypatch.setattr("ngf_hub.methods.auto.unseen_triggers", lambda *_: {"patch": [trigger]})
    monkeypatch.setattr("ngf_hub.methods.auto.tune", lambda *_: Outcome([], 1))
    outcome = make_method("auto", {"rounds": 2, "attempts": 2}).tune(
        make_task(copy.deepcopy(classifier), images.select(range(120)))
    )
    tried = [(entry.round, entry.kinds, entry.radius) for entry in outcome.cure.attempts]
    assert tried == [
        (0, ["patch"], NEAR),
        (0, ["patch"], WORST_CASE),
        (1, ["patch", "grating"], NEAR),
        (1, ["patch", "grating"], WORST_CASE),
    ]


@pytest.mark.slow
def test_the_recovered_triggers_lie_beside_the_weights(cured, tmp_path):
    folder = cured.save(tmp_path / "out")
    for use in ("seen", "unseen"):
        loaded = load_triggers(folder / "recovered" / use)
        assert len(loaded) == len(cured.recovered[use]) > 0
        assert {trigger.origin for trigger in loaded} == {"recovered"}
    assert (folder / "recovered.png").stat().st_size > 1000
    card = (folder / "README.md").read_text()
    assert "recovered.png" in card
    assert cured.report.cure.suspected.summary.rstrip(".") in card
