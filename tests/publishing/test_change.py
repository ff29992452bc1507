"""How much a method changed, as reports state it: of all that it may have tuned."""

from __future__ import annotations

import copy

import pytest
import torch

from ngf_hub.demo import untrained_classifier
from ngf_hub.pipeline import purify


@pytest.mark.parametrize(("method", "layer"), [("ft", "auto"), ("ft", "fc"), ("clp", "auto")])
def test_the_change_is_of_everything_that_was_tuned(method, layer):
    torch.manual_seed(0)
    classifier = untrained_classifier([str(digit) for digit in range(10)], seed=0)
    original = copy.deepcopy(classifier.network)
    images = torch.rand(30, 3, 32, 32)
    # Half of the channels of a network without training lie above the mean.
    options = {"u": 0.5} if method == "clp" else {"steps": 2}
    result = purify(
        classifier, images, torch.arange(30) % 10, method=method, layer=layer, options=options,
        device="cpu",
    )  # fmt: skip
    now = {name: value.detach() for name, value in result.model.named_parameters()}
    then = {name: value.detach() for name, value in original.named_parameters()}
    if layer == "fc":
        then = {name: value for name, value in then.items() if name.startswith("fc.")}
    changed = sum(float((now[name] - value).square().sum()) for name, value in then.items())
    norm = sum(float(value.square().sum()) for value in then.values())
    assert changed > 0
    assert result.report.method.change == pytest.approx((changed / norm) ** 0.5, rel=1e-4)
