"""A share of the way from the weights before to those tuned."""

import dataclasses

import pytest
import torch
from torch import nn

from ngf_hub.devices import make_accelerator
from ngf_hub.errors import MethodError
from ngf_hub.methods import Task, make_method
from ngf_hub.methods.interpolation import Start
from ngf_hub.triggers import make_trigger
from tests.methods.networks import quarters, residual


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.75, 4.0), (1.0, 5.0)])
def test_parameters_are_put_between(share, expected):
    moved, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    start = Start([moved])
    for parameter in (moved, other):
        parameter.data.fill_(5.0)
    start.approach(share)
    assert moved.tolist() == [expected] * 3
    assert other.tolist() == [5.0] * 3, "it is not tuned"


def tuned(share):
    """The layer before, and after unlearning with a share; and what was told of it."""
    classifier = residual()
    task = Task(
        classifier,
        classifier.select_layers("down"),
        quarters(24),
        make_accelerator("cpu"),
        triggers=[make_trigger("badnets", 1)],
    )
    before = classifier.network.down.weight.detach().clone()
    # Sharp enough that the trigger is heard on random weights.
    options = {"steps": 3, "share": share, "temperature": 0.05}
    outcome = make_method("unlearn", options).tune(task)
    return before, classifier.network.down.weight.detach(), outcome


def test_unlearning_goes_a_share_of_the_way_after_all_its_steps():
    before, whole, _ = tuned(1.0)
    _, half, outcome = tuned(0.5)
    assert not torch.equal(before, whole)
    torch.testing.assert_close(half, (before + whole) / 2)
    # What is said of the loss is of the weights that stay.
    _, nothing, untouched = tuned(0.0)
    assert torch.equal(nothing, before)
    assert untouched.losses[0] == untouched.losses[1] != outcome.losses[1]


def test_no_share_is_more_than_all():
    with pytest.raises(MethodError, match="share"):
        make_method("unlearn", {"share": 1.1})
    assert dataclasses.asdict(make_method("unlearn"))["share"] < 1
