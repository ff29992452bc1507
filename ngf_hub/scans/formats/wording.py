"""The short texts of a scan that table, page and SARIF share; none of them is escaped yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ngf_hub.hub import is_hub_id
from ngf_hub.scan_report import Finding, ScanReport, Verdict
from ngf_hub.text import plain

VERDICTS: tuple[Verdict, ...] = (
    "backdoored",
    "unsafe files",
    "inconclusive",
    "failed",
    "nothing found",
)
"""The most urgent first."""
_SENTENCES = {
    "backdoored": "The model behaves as one with a backdoor.",
    "unsafe files": "Files of it could run code when they are loaded.",
    "inconclusive": "No evidence could judge this model.",
    "nothing found": "Nothing stands out from clean models.",
}
_NO_PROOF = "That is no proof that there is no backdoor."


def sentence(report: ScanReport) -> str:
    """What the verdict means, and what led to it."""
    if report.verdict == "failed":
        return f"It could not be scanned: {report.error}"
    said = _SENTENCES[report.verdict]
    if report.verdict == "backdoored" and report.target is not None:
        said = f"{said[:-1]} that leads to class {suspected(report)}."
    if report.verdict == "unsafe files" and report.model is not None:
        said += " The weights were loaded safely."
    # Of these two the summary says more than the verdict's own sentence does.
    if report.summary and report.verdict in ("inconclusive", "nothing found"):
        said = report.summary
    elif report.summary:
        said += f" {report.summary}"
    return f"{said} {_NO_PROOF}" if report.verdict == "nothing found" else said


def is_suspect(report: ScanReport) -> bool:
    """Whether its recovered triggers are worth a look."""
    return report.verdict in ("backdoored", "inconclusive")


def hub_security(report: ScanReport) -> str:
    """What the Hub's own scan of the files says; empty where it was not asked."""
    for finding in report.findings:
        status = finding.details.get("hub_security")
        if isinstance(status, dict):
            return _security(status)
    return ""


def _security(status: dict[str, Any]) -> str:
    issues = status.get("filesWithIssues")
    listed = (
        [entry for entry in issues if isinstance(entry, dict)] if isinstance(issues, list) else []
    )
    if listed:
        told = (
            f"{plain(entry.get('path'), 80)} ({plain(entry.get('level'), 20)})" for entry in listed
        )
        return f"issues with {', '.join(list(told)[:5])}"
    return "no issues" if status.get("scansDone", True) else "not finished"


def file_entries(finding: Finding) -> list[tuple[str, str, str]]:
    """The files of note of a finding, each with reason and severity."""
    entries = finding.details.get("files") if finding.kind == "files" else None
    return [
        (
            plain(entry.get("file"), 160),
            plain(entry.get("reason")),
            plain(entry.get("severity"), 20),
        )
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]


def notes_of(report: ScanReport) -> list[str]:
    """What a reader should know: of the scan, the model and the images."""
    notes = list(report.warnings)
    if report.model is not None:
        notes += report.model.notes
    if report.data is not None:
        notes += report.data.notes
    return notes


def suspected(report: ScanReport) -> str:
    """The suspected target class: its index, with its name where it has one."""
    return class_text(report.target, report.target_name)


def class_text(index: int | None, name: str | None) -> str:
    """A class by its index and name.

    >>> class_text(3, "cat"), class_text(3, "3"), class_text(None, None)
    ('3 (cat)', '3', '')
    """
    if index is None:
        return ""
    shown = plain(name or "", 40)
    return f"{index} ({shown})" if shown and shown != str(index) else str(index)


def goal_text(index: int | None, name: str | None) -> str:
    """Where a trigger sends images.

    >>> goal_text(3, "cat"), goal_text(None, None)
    ('class 3 (cat)', 'the next class (all-to-all)')
    """
    return "the next class (all-to-all)" if index is None else f"class {class_text(index, name)}"


def confidence(report: ScanReport) -> str:
    """Such as ``99.7 %``, rounded towards doubt; empty where nothing was flagged."""
    if report.confidence is None:
        return ""
    return f"{int(report.confidence * 1000 + 1e-9) / 10:.1f} %"


def p_text(p_value: float | None) -> str:
    """Such as ``p = 0.004``; empty without one."""
    if p_value is None:
        return ""
    return f"p = {p_value:.2g}" if p_value > 1e-4 else "p ≤ 0.0001"


def evidence(report: ScanReport) -> str:
    """The findings in short: ``flagged: patch (p = 0.001); clear: files, margin (p = 0.3)``.

    Of a model that could not be scanned, why.
    """
    if report.error is not None:
        return plain(report.error, 500)
    parts = []
    for status in ("flagged", "clear", "not judged"):
        listed = [_short(finding) for finding in report.findings if finding.status == status]
        if listed:
            parts.append(f"{status}: {', '.join(dict.fromkeys(listed))}")
    return "; ".join(parts)


def _short(finding: Finding) -> str:
    notes = [p_text(finding.p_value), "weak" if finding.weak else ""]
    told = ", ".join(note for note in notes if note)
    return f"{plain(finding.kind, 30)} ({told})" if told else plain(finding.kind, 30)


def summary(reports: Iterable[ScanReport]) -> str:
    """Such as ``3 models: 1 backdoored, 2 nothing found``."""
    counts = Counter(report.verdict for report in reports)
    total = sum(counts.values())
    listed = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
    return f"{total} {'model' if total == 1 else 'models'}: {', '.join(listed)}"


def model_url(report: ScanReport) -> str | None:
    """The model's page on the Hub at the commit that was scanned."""
    if report.commit is None or not is_hub_id(report.name):
        return None
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{report.name}/tree/{report.commit}"
