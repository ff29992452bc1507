"""Reports of every outcome, and one in which every text that strangers choose is an attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ngf_hub.cure_report import Attempt, Cure, Estimate, RankedLayer, Verdict
from ngf_hub.plots import plot_trigger
from ngf_hub.report import AttackInfo, Rate, Report, Spectrum
from ngf_hub.report_parts import Curvature
from ngf_hub.triggers import make_trigger
from tests import report_samples as made
from tests.scan_samples import HOSTILE, findings

PREPROCESSING = {"size": [32, 32], "input_size": [3, 32, 32]}
PURIFIED = (
    "Triggers that it was not told of work on 1.0 % [0.3, 3.6], n = 200 of held-out images, and a "
    "new search finds no more than on clean models."
)


def searched(*, backdoored: bool = True) -> Verdict:
    """What a search says, with what each class took."""
    listed = findings()
    listed[1].details = {"sizes": {"3": 2.5, "0": 8.0, "7": 9.5}, "unit": "pixels"}
    listed[2].details = {"classes": [0, 1, 2, 3], "margins": [4.0, 3.0, 2.0, 30.0]}
    if not backdoored:
        listed = [entry for entry in listed if entry.status != "flagged"]
    return Verdict(
        verdict="backdoored" if backdoored else "nothing found",
        target=3 if backdoored else None,
        summary="patch points to class 3." if backdoored else "Nothing stands out.",
        findings=listed,
    )


def cure(state: Any = "purified", **changes: Any) -> Cure:
    """What ``auto`` says of its own work."""
    if state == "nothing found":
        return Cure(state=state, why="Nothing stands out.", suspected=searched(backdoored=False))
    after = 900 if state == "not established" else 4
    estimates = [
        Estimate(
            family="patch", target=3, seen=seen, before=Rate(count=1790, n=1800),
            after=Rate(count=2 if seen else after, n=1800),
        )
        for seen in (True, True, False)
    ]  # fmt: skip
    attempts = [
        Attempt(
            layers=["layer3.0.conv1"], kinds=["patch"], steps=40, taken=number == 1,
            success=Rate(count=2 if number else 90, n=200), kept=Rate(count=99, n=100),
            drop=0.004, drop_error=0.001,
        )
        for number in range(2)
    ]  # fmt: skip
    given: dict[str, Any] = {
        "state": state,
        "why": "Triggers that it was not told of still work."
        if state == "not established"
        else PURIFIED,
        "suspected": searched(backdoored=state != "precaution"),
        "again": searched(backdoored=state == "not established"),
        "ranking": [RankedLayer(name=f"layer{n}.0.conv1", score=10.0 / n) for n in range(1, 4)],
        "attempts": attempts,
        "estimates": estimates,
    }
    return Cure(**{**given, **changes})


def spectrum() -> Spectrum:
    """Curvature that fell to a third."""
    values = [6.0, 3.0, 1.5]
    return Spectrum(
        layers=["layer3.0.conv1"],
        images=64,
        before=Curvature(eigenvalues=values, trace=20.0),
        after=Curvature(eigenvalues=[value / 3 for value in values], trace=5.0),
    )


def report(**changes: Any) -> Report:
    """A purification by ``auto`` that held, where the true trigger is known."""
    given: dict[str, Any] = {
        "model": made.model(preprocessing=PREPROCESSING),
        "method": made.method(name="auto", layers=["layer3.0.conv1"]),
        "cure": cure(),
        "spectrum": spectrum(),
    }
    return made.report(**{**given, **changes})


def without_trigger(state: str) -> Report:
    """The same where no true trigger is known."""
    unchanged = state == "nothing found"
    return report(
        trigger=None,
        before=made.measurement(1698),
        after=made.measurement(1698 if unchanged else 1690),
        cure=cure(state),
        method=made.method(name="auto", layers=[] if unchanged else ["layer3.0.conv1"]),
        spectrum=None if unchanged else spectrum(),
    )


def research() -> Report:
    """A model that was backdoored on purpose."""
    return made.report(
        kind="attack",
        model=made.model(preprocessing=PREPROCESSING),
        trigger=made.trigger(origin="known attack"),
        method=None,
        after=None,
        backdoored=True,
        before=made.measurement(1698, 1795, 3),
        attack=AttackInfo(
            name="badnets", citation="Gu et al. 2017", kind="dirty label", from_scratch=True,
            steps=300, options={"poison_rate": 0.1}, loss=[2.3, 1.0, 0.4, 0.2],
        ),
    )  # fmt: skip


def evaluation() -> Report:
    """A measurement that changed nothing, in which the trigger works."""
    return made.report(kind="evaluate", method=None, after=None)


def hostile() -> Report:
    """A report in which every text that strangers choose is an attack."""
    bad = findings()[1].model_copy(
        update={"summary": HOSTILE, "kind": HOSTILE, "details": {"sizes": {"3": 1.0, "1": 2.0},
                "unit": HOSTILE}}
    )  # fmt: skip
    verdict = Verdict(verdict="backdoored", summary=HOSTILE, findings=[bad])
    content = report(
        model=made.model(
            name=HOSTILE, architecture=HOSTILE, family=HOSTILE, licence=HOSTILE, notes=[HOSTILE],
            class_names=[HOSTILE] * 10, files={HOSTILE: HOSTILE}, commit=HOSTILE,
        ),
        data=made.data(name=HOSTILE, revision=HOSTILE, licence=HOSTILE, notes=[HOSTILE]),
        trigger=made.trigger(target_name=HOSTILE, family=HOSTILE, parameters={HOSTILE: HOSTILE}),
        method=made.method(
            name=HOSTILE, layers=[HOSTILE], options={HOSTILE: HOSTILE}, citation=HOSTILE,
        ),
        cure=cure(why=HOSTILE, suspected=verdict, again=verdict),
        provenance=made.provenance(command=["ngf-hub", HOSTILE], versions={HOSTILE: HOSTILE}),
        warnings=[HOSTILE],
    )  # fmt: skip
    for entry in content.before.per_class:
        entry.name = HOSTILE
    return content


OUTCOMES = {
    "purified": lambda: without_trigger("purified"),
    "precaution": lambda: without_trigger("precaution"),
    "not established": lambda: without_trigger("not established"),
    "nothing found": lambda: without_trigger("nothing found"),
    "removed": report,
    "research": research,
    "evaluation": evaluation,
    "hostile": hostile,
}


def write(folder: Path, content: Report) -> Path:
    """An output folder: the report, triggers that can be drawn, and their pictures."""
    folder.mkdir(parents=True)
    content.write(folder)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    trigger = make_trigger("badnets", 3)
    if content.trigger is not None:
        trigger.save(folder / "trigger")
        plot_trigger(images, trigger.apply(images), folder / "trigger.png")
    if content.cure is not None and content.cure.estimates:
        plot_trigger(images, trigger.apply(images), folder / "recovered.png")
        for number, use in enumerate(("seen", "seen", "unseen")):
            place = folder / "recovered" / use / f"{number % 2 + 1}-patch"
            make_trigger("badnets" if number else "blend", 3).save(place)
    return folder
