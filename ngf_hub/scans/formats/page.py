"""One HTML page of scans with everything in it: no other file, no request, no foreign script.

Names of models and classes come from strangers. The template escapes all that it
shows, and a content security policy lets only the page's own script run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub import __version__
from ngf_hub.evidence.collecting import duration
from ngf_hub.report import without_tokens
from ngf_hub.scan_report import Finding, ScanReport
from ngf_hub.scans.formats.wording import (
    VERDICTS,
    class_text,
    confidence,
    evidence,
    file_entries,
    hub_security,
    is_suspect,
    model_url,
    notes_of,
    p_text,
    sentence,
    summary,
    suspected,
)
from ngf_hub.scans.pictures import MASK, MOST_SAMPLES, PATTERN, SAMPLES
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.scans.output import Result

TEMPLATE = "scan.html.jinja"
_LARGEST_PICTURE = 2**21
_CAPTIONS = {
    MASK: "Mask: white is where it covers the image most",
    PATTERN: "Pattern",
    SAMPLES: "Images without and with it, what the model then says, and the difference",
}


def render_page(results: Sequence[Result]) -> str:
    """A table of the models, which sorts by any column, and the evidence against each."""
    from jinja2 import Environment, StrictUndefined

    from ngf_hub.model_cards import template

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = template("scan.js").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    urgent = sorted(results, key=lambda result: VERDICTS.index(result.report.verdict))
    alone = len(results) == 1
    models = [_model(number, result, alone) for number, result in enumerate(urgent, 1)]
    page = environment.from_string(template(TEMPLATE)).render(
        title="Backdoor scan" if len(models) != 1 else f"Backdoor scan of {models[0]['name']}",
        summary=summary(result.report for result in results),
        models=models,
        style=template("scan.css"),
        script=script,
        script_hash=f"sha256-{digest}",
        version=__version__,
    )
    return page.rstrip() + "\n"


def _model(number: int, result: Result, alone: bool) -> dict[str, Any]:
    """What the template shows of a model, as plain texts."""
    report = ScanReport.model_validate(without_tokens(result.report.model_dump(mode="json")))
    return {
        "id": f"model-{number}",
        "name": plain(report.name, 120) or "(no name)",
        "url": model_url(report),
        "verdict": report.verdict,
        "state": report.verdict.replace(" ", "-"),
        "rank": VERDICTS.index(report.verdict),
        "suspected": suspected(report),
        "confidence": confidence(report),
        "confidence_value": report.confidence if report.confidence is not None else -1,
        "evidence": evidence(report),
        "sentence": plain(sentence(report), 600),
        "files": [entry for finding in report.findings for entry in file_entries(finding)],
        "findings": [_finding(finding, report) for finding in report.findings],
        # The page of a long list would grow large with the best guesses at clean models.
        "triggers": _triggers(report, result.folder if alone or is_suspect(report) else None),
        "facts": _facts(report),
        "notes": [plain(note, 400) for note in notes_of(report)],
    }


def _finding(finding: Finding, report: ScanReport) -> dict[str, str]:
    names = report.model.class_names if report.model is not None else None
    name = None
    if names is not None and finding.target is not None and finding.target < len(names):
        name = names[finding.target]
    return {
        "kind": plain(finding.kind, 40) + (" (weak)" if finding.weak else ""),
        "status": finding.status,
        "state": finding.status.replace(" ", "-"),
        "target": class_text(finding.target, name),
        "statistic": "" if finding.statistic is None else f"{finding.statistic:.3g}",
        "p": p_text(finding.p_value).removeprefix("p = ").removeprefix("p "),
        "summary": plain(finding.summary, 600),
        "seconds": duration(finding.seconds) if finding.seconds >= 0.5 else "",
    }


def _triggers(report: ScanReport, folder: Path | None) -> list[dict[str, Any]]:
    shown = []
    for number, found in enumerate(report.triggers):
        pictures = []
        if folder is not None and found.folder and number < MOST_SAMPLES:
            for name, caption in _CAPTIONS.items():
                address = _data_address(folder / found.folder / name)
                if address is not None:
                    pictures.append({"address": address, "caption": caption, "name": name[:-4]})
        shown.append(
            {
                "family": plain(found.family, 40),
                "target": class_text(found.target, found.target_name),
                "success": found.success.percent(),
                "size": f"{found.size:.3g}",
                "folder": found.folder or "",
                "pictures": pictures,
            }
        )
    return shown


def _data_address(path: Path) -> str | None:
    """A picture as a ``data:`` address; ``None`` where there is none of a sensible size."""
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_PICTURE:
            return None
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return None


def _facts(report: ScanReport) -> list[tuple[str, str]]:
    facts: list[tuple[str, str | None]] = [
        ("commit", report.commit),
        ("the Hub's own scan", hub_security(report)),
    ]
    if model := report.model:
        facts += [
            ("architecture", f"{model.family}, {model.architecture}"),
            ("parameters", f"{model.parameters:,}"),
            ("classes", str(model.num_classes)),
            ("licence", model.licence),
        ]
    if data := report.data:
        images = ", ".join(f"{split.n} of split {split.split}" for split in data.splits)
        at = f" at {data.revision}" if data.revision else ""
        facts.append(("images", f"{data.name}{at}: {images}"))
    elif report.verdict not in ("failed", "unsafe files"):
        facts.append(("images", "none"))
    if report.cost.seconds:
        facts.append(("time", f"{duration(sum(report.cost.seconds.values()))}"))
        facts.append(("device", report.cost.device))
    if origin := report.provenance:
        facts.append(("scanned", f"{origin.created} by ngf-hub {origin.tool_version}"))
        facts.append(("seed", str(origin.seed)))
        facts.append(("command", " ".join(origin.command)))
    return [(name, plain(value, 300)) for name, value in facts if value]
