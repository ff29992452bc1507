"""The page of one scan, or of a fleet: a table of the models, and the evidence against each."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ngf_hub.pages.findings import ByClass, by_class, findings_table
from ngf_hub.pages.layout import render_page
from ngf_hub.pages.parts import Cell, Table, Tone, facts
from ngf_hub.pages.pictures import Album
from ngf_hub.pages.triggers import Shown
from ngf_hub.progress import duration
from ngf_hub.report import without_tokens
from ngf_hub.scan_report import ScanReport, Verdict
from ngf_hub.scans.formats.wording import (
    VERDICTS,
    confidence,
    evidence,
    file_entries,
    goal_text,
    hub_security,
    is_suspect,
    model_url,
    notes_of,
    p_text,
    sentence,
    summary,
    suspected,
)
from ngf_hub.text import plain, redact

TONES: dict[Verdict, Tone] = {
    "backdoored": "bad",
    "unsafe files": "bad",
    "inconclusive": "warn",
    "failed": "warn",
    "nothing found": "info",
}
_TITLES: dict[Verdict, str] = {
    "backdoored": "Backdoored",
    "unsafe files": "Unsafe files",
    "inconclusive": "Inconclusive",
    "failed": "Could not be scanned",
    "nothing found": "Nothing found",
}
# What `ngf_hub.scans.pictures` writes beside each trigger.
_PICTURES = {
    "mask.png": "Mask",
    "pattern.png": "Pattern",
    "samples.png": "Images without and with it, what the model then says, and the difference",
}
_HEADINGS = ("Model", "Verdict", "Suspected class", "Confidence", "p-value", "Evidence")


@dataclass(frozen=True)
class ScannedModel:
    """What the page shows of one model, as plain texts."""

    id: str
    name: str
    url: str | None
    verdict: str
    state: str
    tone: Tone
    title: str
    sentence: str
    findings: Table | None
    by_class: list[ByClass]
    files: list[tuple[str, str, str]]
    triggers: list[Shown]
    facts: list[tuple[str, str]]
    command: str
    notes: list[str]
    confidence: str = ""
    suspected: str = ""
    row: list[Cell] = field(default_factory=list, repr=False)


def scan_page(results: Sequence[tuple[ScanReport, Path | None]]) -> str:
    """The page of scans.

    Args:
        results: Reports, each with the folder that its triggers and pictures lie in.
    """
    album = Album()
    urgent = sorted(results, key=lambda result: VERDICTS.index(result[0].verdict))
    alone = len(urgent) == 1
    models = [
        _model(f"model-{number}", report, folder, album, alone)
        for number, (report, folder) in enumerate(urgent, 1)
    ]
    counts = Counter(report.verdict for report, _ in urgent)
    values = {
        "title": f"Backdoor scan of {models[0].name}" if alone else "Backdoor scan",
        "summary": summary(report for report, _ in urgent),
        "models": models,
        "table": Table("Models", _HEADINGS, [model.row for model in models], sortable=True),
        "counts": [
            (verdict, verdict.replace(" ", "-"), counts[verdict])
            for verdict in VERDICTS
            if counts[verdict]
        ],
        "left_out": album.left_out,
    }
    return render_page("scan.html.jinja", values, scripted=not alone)


def _model(
    id: str, report: ScanReport, folder: Path | None, album: Album, alone: bool
) -> ScannedModel:
    report = ScanReport.model_validate(without_tokens(report.model_dump(mode="json")))
    names = report.model.class_names if report.model is not None else None
    # The page of a long list would grow large with the best guesses at clean models.
    if not (alone or is_suspect(report)):
        folder = None
    name = plain(report.name, 120) or "(no name)"
    return ScannedModel(
        id=id,
        name=name,
        url=model_url(report),
        verdict=report.verdict,
        state=report.verdict.replace(" ", "-"),
        tone=TONES[report.verdict],
        title=_TITLES[report.verdict],
        sentence=plain(sentence(report), 600),
        findings=findings_table(report.findings, names) if report.findings else None,
        by_class=by_class(report.findings, names) if alone or is_suspect(report) else [],
        files=[entry for finding in report.findings for entry in file_entries(finding)],
        triggers=_triggers(report, folder, album),
        facts=_facts(report),
        command=_command(report),
        notes=[plain(note, 400) for note in notes_of(report)],
        confidence=confidence(report),
        suspected=suspected(report),
        row=_row(id, name, report),
    )


def _row(id: str, name: str, report: ScanReport) -> list[Cell]:
    sure = report.confidence if report.confidence is not None else -1
    p_value = p_text(report.p_value).removeprefix("p = ").removeprefix("p ")
    rank = VERDICTS.index(report.verdict)
    return [
        Cell(name, link=f"#{id}"),
        Cell(report.verdict, badge=report.verdict.replace(" ", "-"), sort=rank),
        Cell(suspected(report)),
        Cell(confidence(report), number=True, sort=sure),
        Cell(p_value, number=True, sort=2 if report.p_value is None else report.p_value),
        Cell(evidence(report)),
    ]


def _triggers(report: ScanReport, folder: Path | None, album: Album) -> list[Shown]:
    shown = []
    for found in report.triggers:
        goal = goal_text(found.target, found.target_name)
        pictures = []
        if folder is not None and found.folder:
            for name, caption in _PICTURES.items():
                address = album.file(folder, f"{found.folder}/{name}")
                if address is not None:
                    pictures.append((name.removesuffix(".png"), address, caption))
        size = f"{found.size:.3g}" + (" pixels" if found.family == "patch" else "")
        lies = f"; folder {plain(found.folder, 120)}" if found.folder else ""
        shown.append(
            Shown(
                f"{plain(found.family, 40)} to {goal}",
                f"{found.success.percent()}, of the images that the search did not see go there; "
                f"size {size}{lies}.",
                pictures,
            )
        )
    return shown


def _facts(report: ScanReport) -> list[tuple[str, str]]:
    given: list[tuple[str, object]] = [
        ("Commit", report.commit),
        ("The Hub's own scan", hub_security(report)),
    ]
    if model := report.model:
        given += [
            ("Architecture", f"{model.family}, {model.architecture}"),
            ("Parameters", f"{model.parameters:,}"),
            ("Classes", model.num_classes),
            ("Licence", model.licence),
        ]
    if data := report.data:
        images = ", ".join(f"{split.n} of split {split.split}" for split in data.splits)
        at = f" at {data.revision}" if data.revision else ""
        given.append(("Images", f"{data.name}{at}: {images}"))
    elif report.verdict not in ("failed", "unsafe files"):
        given.append(("Images", "none"))
    if report.cost.seconds:
        given.append(("Time", duration(sum(report.cost.seconds.values()))))
        given.append(("Device", report.cost.device))
    if origin := report.provenance:
        given.append(("Scanned", f"{origin.created} by ngf-hub {origin.tool_version}"))
        given.append(("Seed", origin.seed))
    return facts(given)


def _command(report: ScanReport) -> str:
    """The command line that repeats it."""
    words = report.provenance.command if report.provenance is not None else []
    return redact(" ".join(shlex.quote(plain(word, 500)) for word in words))
