"""``auto``: it finds, forgets and checks; it leaves alone what it finds nothing in."""

import copy

import pytest
import torch

from ngf_hub import purify
from ngf_hub.attacks.scratch import make_classifier
from ngf_hub.data import PixelSet, load_images
from ngf_hub.demo import ARCHITECTURE, train_badnets
from ngf_hub.errors import DataError, MethodError
from ngf_hub.evidence.base import Recovered
from ngf_hub.evidence.verdict import Judgement
from ngf_hub.methods.auto import GIVEN
from ngf_hub.methods.base import Outcome, make_method
from ngf_hub.methods.cure.plans import WORST_CASE
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
def test_the_layers_that_the_report_names_have_changed_and_no_other(backdoored, cured):
    before, after = backdoored[0].network.state_dict(), cured.model.state_dict()
    changed = {
        name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    assert changed == set(cured.report.method.layers)


def test_too_few_images_are_refused(backdoored):
    with pytest.raises(DataError, match="too few"):
        run(backdoored, tune=backdoored[2].select(range(30)))


@pytest.mark.parametrize(
    ("spare", "way"), [(True, 0.4), (False, 0.8)], ids=["to spare", "none to spare"]
)
def test_less_of_the_way_is_gone_where_it_costs_too_much(spare, way, backdoored, monkeypatch):
    """The tuning moves one bias of the head by 5, which costs much, and so does less of it."""
    classifier, trigger, images, _ = backdoored
    harmless = make_trigger("blend:pattern=noise,ratio=0.001", trigger.target)
    judgement = Judgement([], "backdoored", trigger.target, 0.001)
    suspicion = Suspicion(
        judgement,
        trigger.target,
        {"patch": [Recovered(trigger, 1.0, Rate(count=9, n=10))]},
        ["patch"],
    )

    def moved(task, *_):
        with torch.no_grad():
            list(task.classifier.network.parameters())[-1][trigger.target - 1] += 5.0
        return Outcome([], 1)

    def success(self, triggers):
        return Rate(count=0 if spare else 6, n=100)

    monkeypatch.setattr("ngf_hub.methods.auto.suspect", lambda *_: suspicion)
    monkeypatch.setattr("ngf_hub.methods.auto.unseen_triggers", lambda *_: {"patch": [harmless]})
    monkeypatch.setattr("ngf_hub.methods.auto.tune", moved)
    monkeypatch.setattr("ngf_hub.methods.cure.attempts.HeldOut.success", success)
    monkeypatch.setattr("ngf_hub.methods.auto._Run._affordable", lambda *_: False)
    monkeypatch.setattr("ngf_hub.methods.auto.asr_limit", lambda _: 0.2)
    task = make_task(copy.deepcopy(classifier), images.select(range(120)))
    before = list(task.classifier.network.parameters())[-1][trigger.target - 1].item()
    outcome = make_method("auto", {"rounds": 1, "attempts": 2}).tune(task)
    assert outcome.cure.attempts[0].share == way
    after = list(task.classifier.network.parameters())[-1][trigger.target - 1].item()
    assert after - before == pytest.approx(5 * way / 0.8, rel=1e-5)


def near(backdoored, monkeypatch, *, again=0.5, p_value=0.03, unseen=None, **options):
    """A run on a model that is not flagged; ``again`` is the p-value of the search after it."""
    classifier, trigger, images, judge = backdoored
    door = Recovered(trigger, 1.0, Rate(count=9, n=10))
    searches = iter(
        Suspicion(Judgement([], "nothing found", p_value=p, summary=f"{p}."), 0, {"patch": [door]})
        for p in (p_value, again)
    )
    monkeypatch.setattr("ngf_hub.methods.auto.suspect", lambda *_: next(searches))
    monkeypatch.setattr(
        "ngf_hub.methods.auto.unseen_triggers", lambda *_: {"patch": unseen or [trigger]}
    )
    model = copy.deepcopy(classifier)
    result = purify(
        model,
        images,
        judge=judge.pixels,
        judge_labels=judge.labels,
        options={"max_drop": 5.0, **options},
        device="cpu",
    )
    before, after = classifier.network.state_dict(), result.model.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    return result.report, changed


@pytest.mark.slow
def test_what_comes_near_is_forgotten_as_a_precaution(backdoored, monkeypatch):
    report, changed = near(backdoored, monkeypatch)
    assert report.cure.state == "precaution"
    assert report.cure.why.startswith("0.03. It was forgotten as a precaution. Triggers that")
    assert changed
    assert {name.rpartition(".")[0] for name in changed} == set(report.method.layers)
    before, after = report.cure.pooled(seen=False)
    assert before.value > 0.9 > 0.1 > after.value
    (attempt,) = report.cure.attempts
    assert attempt.taken


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"p_value": 0.3}, "0.3."),
        ({"caution": 0.01}, "0.03."),
        ({"again": 0.02}, "A new search comes as near: 0.02."),
        ({"max_drop": 0.0, "steps": 1}, "Triggers that it was not told of still work"),
    ],
)
def test_a_precaution_that_does_not_hold_leaves_the_weights(settings, why, backdoored, monkeypatch):
    harmless = make_trigger("blend:pattern=noise,ratio=0.001", backdoored[1].target)
    unseen = None if "steps" in settings else [harmless]
    report, changed = near(backdoored, monkeypatch, unseen=unseen, **settings)
    assert report.cure.state == "nothing found"
    assert why in report.cure.why
    assert report.method.steps == 0
    assert changed == []
    assert report.cure.again is None
    assert not any(attempt.taken for attempt in report.cure.attempts)


def test_a_precaution_that_costs_much_is_not_kept(backdoored, monkeypatch):
    harmless = make_trigger("blend:pattern=noise,ratio=0.001", backdoored[1].target)

    def blinded(task, *_):
        with torch.no_grad():
            for parameter in task.classifier.network.parameters():
                parameter.zero_()
            parameter[backdoored[1].target - 1] = 1.0  # the bias of the head
        return Outcome([], 1)

    monkeypatch.setattr("ngf_hub.methods.auto.tune", blinded)
    report, changed = near(backdoored, monkeypatch, unseen=[harmless], max_drop=1.0)
    assert report.cure.state == "nothing found"
    assert "It would cost about" in report.cure.why
    assert changed == []


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
