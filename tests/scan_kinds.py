"""Small kinds of evidence whose outcome a test chooses, and clean models to judge them by."""

from __future__ import annotations

from contextlib import contextmanager

import torch

from ngf_hub.errors import DataError, ModelError
from ngf_hub.evidence.base import KINDS, Case, Collected, Evidence, Recovered
from ngf_hub.evidence.calibration import Calibration, CleanModel
from ngf_hub.report import Rate
from ngf_hub.scan_report import Finding
from ngf_hub.triggers import make_trigger

TARGET = 3


def brightness(case: Case) -> float:
    """How much the model's mean logit changes between black and white: a figure of its weights."""
    shape = case.classifier.example_pixels(1).shape
    with torch.no_grad():
        logits = case.classifier(torch.stack([torch.zeros(shape[1:]), torch.ones(shape[1:])]))
    return float((logits[1] - logits[0]).abs().mean())


class Corner(Evidence):
    """Says that a patch in the corner leads to the target class."""

    name = "corner"
    citation = "a test"

    def collect(self, case: Case) -> Collected:
        finding = Finding(
            kind="corner",
            statistic=50.0,
            target=TARGET,
            summary=f"A 3x3 patch sends {len(case.images)} images to class {TARGET}.",
            details={"mask_norm": 9.0},
        )
        triggers = [
            Recovered(make_trigger("badnets", 5), 30.0, Rate(count=3, n=10)),
            Recovered(make_trigger("badnets", TARGET), 9.0, Rate(count=9, n=10)),
            Recovered(make_trigger("blend", TARGET), 0.2, Rate(count=8, n=10)),
        ]
        return Collected([finding], triggers)

    def seconds(self, case: Case) -> float | None:
        return 3600.0


class Quiet(Evidence):
    """Finds nothing, and needs no images."""

    name = "quiet"
    citation = "a test"
    needs_images = False

    def collect(self, case: Case) -> Collected:
        statistic = 1 + 1e-3 * brightness(case)
        return Collected(
            [Finding(kind="quiet", statistic=statistic, summary="Nothing stands out.")]
        )


class Unfit(Evidence):
    """Cannot look at this model."""

    name = "unfit"
    citation = "a test"
    needs_images = False

    def collect(self, case: Case) -> Collected:
        raise ModelError("It has no convolution.", "Use another kind.")


class Unlucky(Evidence):
    """Fails for a reason that is not the model's."""

    name = "unlucky"
    citation = "a test"
    needs_images = False

    def collect(self, case: Case) -> Collected:
        raise DataError("The disk went away.")


class Crash(Evidence):
    """Fails in a way that nobody thought of."""

    name = "crash"
    citation = "a test"
    needs_images = False

    def collect(self, case: Case) -> Collected:
        raise ZeroDivisionError("\x1b[31mred\nlines hf_abcdefghijklmnopqrstuvwxyz")


class Meddler(Evidence):
    """Leaves the model changed in every way."""

    name = "meddler"
    citation = "a test"
    needs_images = False

    def collect(self, case: Case) -> Collected:
        network = case.classifier.network
        network.train()
        case.classifier(case.classifier.example_pixels(4)).sum().backward()
        for parameter in network.parameters():
            parameter.data += 1
            parameter.requires_grad_(False)
        for buffer in network.buffers():
            buffer.zero_()
        return Collected([Finding(kind="meddler", statistic=1.0, summary="Meddled.")])


ALL = (Corner, Quiet, Unfit, Unlucky, Crash, Meddler)


def clean_models() -> Calibration:
    """Ten clean models, on which every kind's statistic is about 1."""
    values = {kind.name: 1.0 for kind in ALL}
    models = [
        CleanModel(
            model=f"clean-{index}",
            architecture="tiny",
            classes=10,
            with_images={name: [value + 0.01 * (index - 4)] for name, value in values.items()},
            without_images={name: [value + 0.01 * (index - 4)] for name, value in values.items()},
        )
        for index in range(10)
    ]
    return Calibration(models=models)


@contextmanager
def installed(*kinds: type[Evidence]):
    """Only these kinds are known inside, and the clean models above judge."""
    import ngf_hub.evidence.kinds  # noqa: F401  # so that nothing registers itself later
    from ngf_hub.evidence import verdict

    before, packaged = dict(KINDS), verdict.packaged_calibration
    KINDS.clear()
    KINDS.update({kind.name: kind for kind in kinds})
    verdict.packaged_calibration = clean_models
    try:
        yield
    finally:
        KINDS.clear()
        KINDS.update(before)
        verdict.packaged_calibration = packaged
