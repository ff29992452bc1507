"""Which ways to forget are tried, and in which order."""

from types import SimpleNamespace

from ngf_hub.cure_report import RankedLayer
from ngf_hub.methods.cure.layers import promising
from ngf_hub.methods.cure.plans import WORST_CASE, Plan, plans
from ngf_hub.methods.unlearn import NEAR


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
    alone = plans(ranked({"a": 1.0}), ["given"])
    assert alone == [Plan(["a"], ["given"], NEAR), Plan(["a"], ["given"], WORST_CASE)]


def test_a_plan_is_less_only_where_nothing_is_more():
    plan = Plan(["c", "f"], ["patch"], WORST_CASE)
    assert Plan(["c"], ["patch"]).is_less(plan)
    assert not Plan(["c", "f"], ["patch"]).is_less(plan)
    assert not Plan(["c"], ["patch", "additive"]).is_less(plan)
    assert not Plan(["c"], ["patch"], WORST_CASE).is_less(Plan(["c", "f"], ["patch"]))
