"""How the results of a scan look in the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ngf_hub.cli.console import fail, note, stdout
from ngf_hub.text import plain, redact

if TYPE_CHECKING:
    from ngf_hub.cli.scan_fleet import Board
    from ngf_hub.scan_report import ScanReport
    from ngf_hub.scans.jobs import Job
    from ngf_hub.scans.output import Result

MOST_FILES = 10
_STYLES = {
    "backdoored": "bold red",
    "unsafe files": "bold red",
    "flagged": "bold red",
    "inconclusive": "yellow",
    "failed": "yellow",
    "nothing found": "green",
    "clear": "green",
    "not judged": "yellow",
}


def tell_results(
    results: Iterable[tuple[int, Result]], jobs: Sequence[Job], board: Board | None = None
) -> Iterator[tuple[int, Result]]:
    """Pass the results of a list through, and tell each as it comes and how long the rest takes.

    Args:
        results: Each job's place in the list, with its result.
        jobs: The list.
        board: Counts them; if it is shown all the time, only what is of note gets a line.
    """
    from ngf_hub.progress import duration
    from ngf_hub.scans.formats.wording import summary

    new = sum(job.result is None for job in jobs)
    known = [job.result.report for job in jobs if job.result is not None]
    if known:
        failures = sum(report.verdict == "failed" for report in known)
        kept = len(known) - failures
        note(
            f"{len(jobs)} models: {new} to scan, {kept} scanned before"
            + (f", {failures} not found" if failures else "")
        )
    done, start = 0, time.monotonic()
    told: list[ScanReport] = []
    try:
        for place, result in results:
            told.append(result.report)
            if jobs[place].result is None:
                done += 1
                if board is not None:
                    board.add(result.report)
                live = board is not None and board.live
                if not live or result.report.flagged or result.report.unseen:
                    rest = (time.monotonic() - start) / done * (new - done)
                    left = f"; about {duration(rest)} left" if new > done and not live else ""
                    shown = f"{result.report.name}: {result.report.verdict}{left}"
                    note(f"[{len(told)}/{len(jobs)}] {shown}")
            yield place, result
    except KeyboardInterrupt:
        note(f"Of {len(jobs)} models these are done, and kept for the next run. {summary(told)}")
        raise


def in_order(results: Iterable[tuple[int, Result]]) -> list[Result]:
    """The results in the order of the list."""
    return [result for _, result in sorted(results, key=lambda entry: entry[0])]


def show_results(results: Sequence[Result], *, many: bool) -> None:
    """The table of all models; of a single one, the evidence and the triggers below it."""
    from rich.table import Table
    from rich.text import Text

    from ngf_hub.scans.formats.wording import (
        confidence,
        evidence,
        notes_of,
        sentence,
        summary,
        suspected,
    )

    table = Table()
    table.add_column("model", overflow="fold")
    for heading in ("verdict", "suspected class", "confidence"):
        table.add_column(heading)
    if many:
        table.add_column("evidence", overflow="fold")
    for result in results:
        report = result.report
        table.add_row(
            Text(plain(redact(report.name), 120)),
            Text(report.verdict, style=_STYLES[report.verdict]),
            Text(suspected(report)),
            confidence(report),
            *([Text(redact(evidence(report)))] if many else []),
        )
    stdout().print(table)
    if many:
        stdout().print(Text(summary(result.report for result in results) + "."))
        return
    for result in results:
        _show_findings(result.report)
        _show_triggers(result.report)
        _show_files(result.report)
        stdout().print(Text(plain(redact(sentence(result.report)), 1000)), soft_wrap=True)
        if result.stored:
            note("This is the result of an earlier run; --rescan scans again.")
        for warning in notes_of(result.report):
            note(f"Note: {warning}")


def _show_findings(report: ScanReport) -> None:
    from rich.table import Table
    from rich.text import Text

    from ngf_hub.scans.formats.wording import p_text

    table = Table()
    for heading in ("evidence", "result", "class", "p-value"):
        table.add_column(heading)
    table.add_column("what was found", overflow="fold")
    for finding in report.findings:
        table.add_row(
            Text(plain(finding.kind, 30) + (" (weak)" if finding.weak else "")),
            Text(finding.status, style=_STYLES[finding.status]),
            "" if finding.target is None else str(finding.target),
            p_text(finding.p_value).removeprefix("p = ").removeprefix("p "),
            Text(plain(redact(finding.summary), 400)),
        )
    stdout().print(table)


def _show_triggers(report: ScanReport) -> None:
    from rich.table import Table
    from rich.text import Text

    from ngf_hub.scans.formats.wording import class_text

    if not report.triggers:
        return
    table = Table()
    for heading in ("recovered trigger", "to class", "success in %", "n", "size"):
        table.add_column(heading, justify="right" if heading in ("n", "size") else "left")
    for found in report.triggers:
        table.add_row(
            Text(plain(found.family, 30)),
            Text(class_text(found.target, found.target_name) or "the next"),
            Text(found.success.short()),
            str(found.success.n),
            f"{found.size:.3g}",
        )
    stdout().print(table)


def _show_files(report: ScanReport) -> None:
    from rich.text import Text

    from ngf_hub.scans.formats.wording import file_entries, hub_security

    entries = [entry for finding in report.findings for entry in file_entries(finding)]
    for file, reason, severity in entries[:MOST_FILES]:
        line = redact(f"{file} ({severity}): {reason}")
        stdout().print(Text(line), soft_wrap=True)
    if len(entries) > MOST_FILES:
        note(f"and {len(entries) - MOST_FILES} more files of note; --format json lists them all")
    if told := hub_security(report):
        note(f"The Hub's own scan: {told}.")


def show_failures(results: Iterable[Result]) -> None:
    """A line for each model that could not be scanned, on standard error."""
    for result in results:
        report = result.report
        if report.unseen:
            fail(f"{report.name}: {report.error or report.summary}")
