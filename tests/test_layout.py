"""Channels last at low precision: the same weights and findings, and nothing of it is left."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from ngf_hub import load_model
from ngf_hub.data import PixelSet
from ngf_hub.demo import untrained_classifier
from ngf_hub.devices import make_accelerator
from ngf_hub.evidence.base import KINDS, Case
from ngf_hub.layout import channels_last
from ngf_hub.scanning import scan, scan_model
from tests.recovery.networks import SIDE, TARGET, CornerDoor, images
from tests.scan_kinds import Meddler, Quiet, installed

WORDS = [str(digit) for digit in range(10)]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))


def in_layout(weight):
    return weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("precision", "changes"), [("no", False), ("bf16", True)])
def test_weights_lie_channels_last_in_the_block_and_in_their_storage_after_it(
    network, precision, changes
):
    storages = [parameter.data_ptr() for parameter in network.parameters()]
    values = [parameter.detach().clone() for parameter in network.parameters()]
    with channels_last(network, make_accelerator("cpu", precision)):
        assert in_layout(network[0].weight) is in_layout(network[2].weight) is changes
        for parameter, value in zip(network.parameters(), values, strict=True):
            assert torch.equal(parameter, value)
    assert [parameter.data_ptr() for parameter in network.parameters()] == storages
    assert all(parameter.is_contiguous() for parameter in network.parameters())
    for parameter, value in zip(network.parameters(), values, strict=True):
        assert torch.equal(parameter, value)


def test_it_ends_with_an_error_too_and_keeps_what_was_written(network):
    weight = network[0].weight
    before = weight.data_ptr()
    with (  # noqa: PT012
        pytest.raises(RuntimeError, match="midway"),
        channels_last(network, make_accelerator("cpu", "bf16")),
    ):
        weight.data.fill_(2.0)
        raise RuntimeError("midway")
    assert weight.data_ptr() == before
    assert weight.is_contiguous()
    assert bool((weight == 2).all())


def test_a_convolution_that_may_view_its_weight_is_left_alone():
    class Viewing(nn.Conv2d):
        """Standardises its weight, by a view that wants it contiguous."""

        def forward(self, x):
            rows = self.weight.view(len(self.weight), -1)
            scaled = (rows - rows.mean(1, keepdim=True)).view_as(self.weight)
            return self._conv_forward(x, scaled, self.bias)

    network = Viewing(3, 4, 3)
    with channels_last(network, make_accelerator("cpu", "bf16")):
        assert network(torch.rand(1, 3, 8, 8)).shape == (1, 4, 6, 6)


class Layout(Quiet):
    """Notes how the weights lie while evidence is collected and after it was restored."""

    name = "layout"
    seen: ClassVar[list[bool]] = []

    def collect(self, case):
        for module in case.classifier.modules():
            if type(module) is nn.Conv2d and module.kernel_size != (
                1,
                1,
            ):  # else both layouts are one
                self.seen.append(in_layout(module.weight))
        return super().collect(case)


@pytest.mark.parametrize(("precision", "changes"), [("no", False), ("bf16", True)])
def test_a_scan_holds_weights_so_and_leaves_the_model_as_it_was(precision, changes):
    classifier = untrained_classifier(WORDS, seed=0)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    places = [parameter.data_ptr() for parameter in classifier.parameters()]
    Layout.seen.clear()
    with installed(Meddler, Layout):  # the latter comes after the model was restored once
        scan_model(classifier, device="cpu", mixed_precision=precision)
    assert Layout.seen
    assert set(Layout.seen) == {changes}
    assert [parameter.data_ptr() for parameter in classifier.parameters()] == places
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.is_contiguous()


class Convolved(CornerDoor):
    """The same door behind convolutions that pass the images on."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(2))
        for convolution in (self.first, self.second):
            nn.init.dirac_(convolution.weight)

    def forward(self, x):
        return super().forward(self.second(self.first(x)))


def test_findings_in_bfloat16_are_those_of_float32_but_for_rounding():
    found = {}
    for precision in ("no", "bf16"):
        model = load_model(Convolved(), size=SIDE, channels=3)
        report = scan(model, images(), kinds=["patch"], device="cpu", mixed_precision=precision)
        (finding,) = (each for each in report.findings if each.kind == "patch")
        assert finding.target == TARGET
        found[precision] = finding.statistic
    assert found["bf16"] == pytest.approx(found["no"], rel=0.25)


def test_curvature_can_be_taken_of_weights_that_lie_so():
    values = []
    pixels = PixelSet(torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    for precision in ("no", "bf16"):
        classifier = untrained_classifier(WORDS, seed=0)
        case = Case(classifier, pixels, make_accelerator("cpu", precision), batch_size=32)
        with channels_last(classifier, case.accelerator):
            (finding,) = KINDS["sharpness"]().collect(case).findings
        values.append(finding.details["trace"])
    assert values[1] == pytest.approx(values[0], rel=1e-3)
