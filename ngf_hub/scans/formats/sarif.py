"""SARIF 2.1.0 (OASIS), in the subset that GitHub's code scanning reads.

Each flagged finding is a result of the rule of its kind. GitHub refuses a file in
which a location is a URL, so that a model of the Hub is located below a relative
``huggingface.co/``; its URL stands in the message and the properties.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from ngf_hub import __version__
from ngf_hub.report import without_tokens
from ngf_hub.scan_report import Finding, ScanReport
from ngf_hub.scans.formats.wording import file_entries, model_url, p_text, sentence, suspected
from ngf_hub.text import json_text, plain

if TYPE_CHECKING:
    from ngf_hub.scans.output import Result

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
VERDICT = "verdict"
# Of each kind of finding: title, what it means, severity (CVSS-like, as GitHub ranks it).
_RULES = {
    VERDICT: (
        "Backdoor in an image classifier",
        "The evidence together is stronger than on clean models, or could not judge.",
        "8.0",
    ),
    "files": (
        "Unsafe model files",
        "Loading the files could run code, or they are not what they say.",
        "9.5",
    ),
}
_EVIDENCE = (
    "The evidence named {kind} is stronger than on clean models, which speaks for a hidden trigger "
    "that makes the model answer with a class of an attacker's choice."
)
_HELP = (
    "Do not deploy the model. See the trigger that the scan recovered with "
    "`ngf-hub scan MODEL --output DIR`, and measure it with "
    "`ngf-hub evaluate MODEL --trigger DIR/trigger`."
)


def render_sarif(results: Sequence[Result]) -> str:
    """One run with a result for everything that was flagged."""
    reports = [result.report for result in results]
    kinds = [VERDICT, *dict.fromkeys(f.kind for report in reports for f in report.findings)]
    found = [entry for report in reports for entry in _results(report, kinds)]
    failures = [report for report in reports if report.unseen]
    run = {
        "tool": {
            "driver": {
                "name": "ngf-hub",
                "semanticVersion": __version__,
                "rules": [_rule(kind) for kind in kinds],
            }
        },
        "automationDetails": {"id": "ngf-hub/scan/"},
        "invocations": [
            {
                "executionSuccessful": not failures,
                "toolExecutionNotifications": [_notification(report) for report in failures],
            }
        ],
        "results": found,
    }
    content = without_tokens({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})
    return json_text(content) + "\n"


def _rule(kind: str) -> dict[str, Any]:
    title, text, severity = _RULES.get(
        kind, (f"Backdoor evidence: {kind}", _EVIDENCE.format(kind=kind), "8.0")
    )
    return {
        "id": f"ngf-hub/{kind}",
        "name": "".join(part.title() for part in ("scan", *kind.replace("_", "-").split("-"))),
        "shortDescription": {"text": title},
        "fullDescription": {"text": text},
        "help": {"text": _HELP.replace("`", ""), "markdown": _HELP},
        "defaultConfiguration": {"level": "error"},
        "properties": {
            "tags": ["security", "machine-learning", "backdoor"],
            "security-severity": severity,
        },
    }


def _results(report: ScanReport, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """A result for each flagged finding; where there is none, one for the verdict if it matters."""
    results = []
    for finding in report.findings:
        if finding.status == "flagged":
            level = _level(report, finding)
            results += [
                _result(report, kinds, finding.kind, level, finding, file)
                for file in _dangerous_files(finding) or [None]
            ]
    strong = any(entry["level"] == "error" for entry in results)
    if report.flagged and not strong:
        results.append(_result(report, kinds, VERDICT, "error"))
    elif report.verdict == "inconclusive":
        results.append(_result(report, kinds, VERDICT, "note"))
    return results


def _dangerous_files(finding: Finding) -> list[tuple[str, str] | None]:
    """The files that are dangerous, each once with all reasons."""
    reasons: dict[str, list[str]] = {}
    for file, reason, severity in file_entries(finding):
        if severity == "dangerous":
            reasons.setdefault(file, []).append(reason)
    return [(file, "; ".join(why)) for file, why in reasons.items()]


def _level(report: ScanReport, finding: Finding) -> str:
    if finding.weak:
        return "note"
    return "error" if report.flagged else "warning"


def _result(
    report: ScanReport,
    kinds: Sequence[str],
    kind: str,
    level: str,
    finding: Finding | None = None,
    file: tuple[str, str] | None = None,
) -> dict[str, Any]:
    name, url = plain(report.name), model_url(report)
    said = [f"{name}: {sentence(report)}"]
    if finding is not None:
        summary = finding.summary if file is None else f"{file[0]}: {file[1]}"
        told = [plain(summary, 500), p_text(finding.p_value)]
        said.append(f"Evidence {kind}: {' '.join(part for part in told if part)}")
    if url:
        said.append(f"Scanned: {url}")
    target = finding.target if finding is not None else report.target
    identity = f"{report.name}\n{kind}\n{target}\n{file[0] if file else ''}"
    properties = {
        "model": report.name,
        "commit": report.commit,
        "url": url,
        "verdict": report.verdict,
        "suspectedClass": suspected(report) or None,
        "confidence": report.confidence,
        "target": target,
        "statistic": finding.statistic if finding is not None else None,
        "pValue": finding.p_value if finding is not None else report.p_value,
    }
    return {
        "ruleId": f"ngf-hub/{kind}",
        "ruleIndex": kinds.index(kind),
        "level": level,
        "message": {"text": " ".join(said)},
        "locations": [_location(report, file[0] if file else None)],
        # The one fingerprint that GitHub uses: the same alert whatever commit was scanned.
        "partialFingerprints": {
            "primaryLocationLineHash": hashlib.sha256(identity.encode()).hexdigest()[:32] + ":1"
        },
        "properties": {key: value for key, value in properties.items() if value is not None},
    }


def _location(report: ScanReport, file: str | None = None) -> dict[str, Any]:
    """A file of the model, its weights or else its config if left out, as a relative URI."""
    files = sorted(report.model.files) if report.model is not None else []
    name = file or (files[0] if files else "config.json")
    segments = [*_place(report), *(part for part in name.split("/") if part not in ("", ".."))]
    uri = "/".join(quote(plain(part), safe="") for part in segments)
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {"startLine": 1},
        }
    }


def _place(report: ScanReport) -> list[str]:
    """Where the model is, in segments of a path."""
    if report.commit is not None:
        from huggingface_hub import constants

        host = urlsplit(constants.ENDPOINT).netloc
        return [host, *report.name.split("/")]
    path = Path(report.name).expanduser()
    try:
        relative = Path(os.path.relpath(path.resolve()))
    except (OSError, RuntimeError, ValueError):  # another drive, an unknown user
        relative = Path(path.name)
    # Outside of the folder in which the scan ran only the name is told.
    return [path.name] if ".." in relative.parts else [p for p in relative.parts if p != "."]


def _notification(report: ScanReport) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": f"{plain(report.name)}: {sentence(report)}"},
        "locations": [_location(report)],
    }
