"""Scan reports as scans give them, and hostile ones, for the tests of formats and store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ngf_hub.evidence.base import Recovered
from ngf_hub.report import Cost, Rate
from ngf_hub.scan_report import Finding, RecoveredTrigger, ScanReport
from ngf_hub.scanning import Scanned
from ngf_hub.scans.output import Result, fill
from ngf_hub.scans.samples import Samples
from ngf_hub.triggers import make_trigger

from . import report_samples

COMMIT = report_samples.SOURCE_COMMIT
HOSTILE = '<script>alert("x")</script>\x1b[31m\u202e"onmouseover="y" \'</table>'


def findings() -> list[Finding]:
    """One of every status."""
    return [
        Finding(kind="files", status="clear", summary="Safetensors only.", seconds=0.4),
        Finding(
            kind="patch", status="flagged", statistic=8.3, p_value=0.0004, target=3,
            summary="A patch of 9 pixels sends 97 % of images to class 3.", seconds=41.0,
        ),
        Finding(
            kind="margin", status="clear", statistic=1.1, p_value=0.31, target=3,
            summary="No class stands out.", seconds=6.0,
        ),
        Finding(
            kind="sharpness", status="flagged", weak=True, statistic=40.2, p_value=0.004,
            summary="It sits in a sharp minimum.", seconds=12.0,
        ),
        Finding(kind="additive", summary="It needs clean images, and none were given."),
    ]  # fmt: skip


def report(**changes: Any) -> ScanReport:
    """A report of a model with a backdoor."""
    given: dict[str, Any] = {
        "name": "acme/resnet-cifar",
        "commit": COMMIT,
        "verdict": "backdoored",
        "target": 3,
        "target_name": "cat",
        "p_value": 0.0008,
        "confidence": 0.9992,
        "findings": findings(),
        "model": report_samples.model(),
        "data": report_samples.data(),
        "cost": Cost(seconds={"files": 0.4, "patch": 41.0}),
        "provenance": report_samples.provenance(command=["ngf-hub", "scan", "acme/resnet-cifar"]),
    }
    return ScanReport(**{**given, **changes})


def clean(**changes: Any) -> ScanReport:
    """A report in which nothing was found."""
    given: dict[str, Any] = {
        "name": "acme/clean",
        "verdict": "nothing found",
        "target": None,
        "target_name": None,
        "p_value": 0.4,
        "confidence": None,
        "findings": [entry for entry in findings() if entry.status != "flagged"],
    }
    return report(**{**given, **changes})


def failure(**changes: Any) -> ScanReport:
    """A report of a model that could not be scanned."""
    given: dict[str, Any] = {
        "name": "acme/missing",
        "verdict": "failed",
        "error": "Cannot fetch model acme/missing: there is no such repository.",
    }
    return ScanReport(**{**given, **changes})


def unsafe(**changes: Any) -> ScanReport:
    """A report of a model that was not loaded."""
    finding = Finding(
        kind="files", status="flagged", summary="pytorch_model.bin would import os.system."
    )
    given: dict[str, Any] = {
        "name": "acme/evil",
        "commit": COMMIT,
        "verdict": "unsafe files",
        "findings": [finding],
    }
    return ScanReport(**{**given, **changes})


def hostile() -> ScanReport:
    """A report in which every text that strangers choose is an attack."""
    names = [HOSTILE] * 10
    bad = [
        Finding(kind="patch", status="flagged", statistic=9.0, p_value=0.001, target=3,
                summary=HOSTILE),
    ]  # fmt: skip
    return report(
        name=f"acme/{HOSTILE}",
        target_name=HOSTILE,
        findings=bad,
        model=report_samples.model(
            name=HOSTILE, class_names=names, licence=HOSTILE, architecture=HOSTILE, notes=[HOSTILE],
            files={HOSTILE: "0" * 64},
        ),
        data=report_samples.data(name=HOSTILE, notes=[HOSTILE]),
        provenance=report_samples.provenance(command=["ngf-hub", "scan", HOSTILE]),
        warnings=[HOSTILE],
        triggers=[
            RecoveredTrigger(
                family="patch", target=3, target_name=HOSTILE, size=9.0,
                success=Rate(count=9, n=10),
            )
        ],
    )  # fmt: skip


def scanned(content: ScanReport | None = None, *, with_triggers: bool = True) -> Scanned:
    """A scan with two recovered triggers, as it lies in memory."""
    content = content or report()
    if not with_triggers:
        return Scanned(content)
    clean_pixels = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found, samples = [], []
    for spec, size in (("badnets", 9.0), ("blend", 0.2)):
        trigger = make_trigger(spec, 3)
        trigger.origin = "recovered"
        found.append(Recovered(trigger, size, Rate(count=97, n=100)))
        samples.append(Samples(clean_pixels, trigger.apply(clean_pixels), [3, 3, 3, 1]))
    content.triggers = [
        RecoveredTrigger(
            family=entry.trigger.family, target=3, target_name="cat", size=entry.size,
            success=entry.success,
        )
        for entry in found
    ]  # fmt: skip
    return Scanned(content, found, samples, (3, 32, 32))


def result(folder: Path, content: ScanReport | None = None) -> Result:
    """A result that lies in a folder, with triggers and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    return Result(fill(folder, scanned(content)), folder)
