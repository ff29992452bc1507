"""What a person sees: progress on standard error, tables and JSON on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypeVar

from ngf_hub.text import json_text, plain, plain_line, redact

if TYPE_CHECKING:
    from rich.console import Console

    from ngf_hub.cure_report import Cure
    from ngf_hub.progress import Track
    from ngf_hub.report import Measurement, Rate, Report

T = TypeVar("T")


def fail(message: str, hint: str = "", details: str = "") -> int:
    """Print one line on what is wrong and what to do, and return exit code 2."""
    from rich.text import Text

    console = stderr()
    line = plain(redact(f"{message} {hint}".strip()), limit=2000)
    console.print(Text.assemble(("Error: ", "bold red"), line), soft_wrap=True)
    for detail in redact(details).splitlines():
        console.print(Text("  " + plain_line(detail)), soft_wrap=True)
    return 2


def show_traceback(error: BaseException) -> int:
    """Print the traceback of an error, without tokens and escapes, and return exit code 2."""
    import traceback

    for part in traceback.format_exception(error):
        for line in redact(part).splitlines():
            print(plain_line(line), file=sys.stderr)
    return 2


def stderr() -> Console:
    """The console for progress, notes and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document and nothing else."""
    print(json_text(value))


def progress(quiet: bool = False, *, transient: bool = False) -> Track:
    """Progress bars on standard error.

    Args:
        quiet: Show none.
        transient: Let each go when it is full, and show none where nothing can go: in a file.
    """
    from ngf_hub.progress import silent

    if quiet or (transient and not stderr().is_terminal):
        return silent
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )

    def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        from rich.markup import escape

        if total is None and isinstance(items, Sized):
            total = len(items)
        # A display of its own for each, since downloads in between draw theirs.
        with Progress(*columns, console=stderr(), transient=transient) as bars:
            text = escape(plain(description, 60)).ljust(28)
            yield from bars.track(items, total=total, description=text)

    return track


def note(text: str) -> None:
    """One dim line on standard error."""
    from rich.text import Text

    stderr().print(Text(plain(redact(text), limit=2000), style="dim"), soft_wrap=True)


def show_measurements(
    columns: Sequence[tuple[str, Measurement]],
    title: str,
    accuracy_name: str = "Clean accuracy (ACC)",
) -> None:
    """A table of ACC, ASR and RA with intervals and n, one column a measurement."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(plain(title)), title_justify="left", title_style="bold")
    table.add_column("in %, with the 95 % interval")
    table.add_column("n", justify="right")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    rows = (
        (accuracy_name, "accuracy"),
        ("Attack success rate (ASR)", "attack_success"),
        ("Recovered accuracy (RA)", "recovered_accuracy"),
    )
    for label, key in rows:
        rates: list[Rate | None] = [getattr(measured, key) for _, measured in columns]
        measured = [rate for rate in rates if rate is not None]
        if measured:
            cells = [Text(short(rate)) for rate in rates]
            table.add_row(label, str(measured[0].n), *cells)
    stdout().print(table)


def short(rate: Rate | None) -> str:
    """See :meth:`ngf_hub.report.Rate.short`; likewise where there is no rate."""
    return "–" if rate is None else rate.short()


def verdict(report: Report) -> str:
    """What the figures amount to, in one sentence or two."""
    from ngf_hub.outcome import read_outcome

    outcome = read_outcome(report)
    limit = f"{100 * outcome.limit:.0f} %"
    sentences = {
        "removed": f"The trigger works no more: ASR is below {limit}.",
        "no effect": f"The trigger had no effect before, and has none now: ASR is below {limit}.",
        "present": f"The backdoor is still there: ASR is above {limit}.",
        "unclear": f"Not established: the ASR's interval contains {limit}; judge by more images.",
        "not measured": "No trigger was given, so ASR was not measured: "
        "nothing is said about a backdoor.",
    }
    before = report.before.attack_success
    if report.after is None or (before is not None and before.interval[0] <= outcome.limit):
        sentences["present"] = f"The trigger works: ASR is above {limit}."
    if report.after is None:
        sentences["no effect"] = f"The trigger has no effect: ASR is below {limit}."
    told = sentences[outcome.state]
    if report.cure is not None:
        told = cure_verdict(report.cure) + ("" if report.trigger is None else f" {told}")
    if outcome.costly and outcome.accuracy_drop is not None:
        told += f" Clean accuracy fell by {100 * outcome.accuracy_drop:.1f} points."
    return told


def cure_verdict(cure: Cure) -> str:
    """What a method that checks itself says of its work, in one sentence or two."""
    if cure.state == "nothing found":
        return f"Nothing found, and nothing changed. {cure.why}"
    if cure.state == "precaution":
        return f"No backdoor was found; what came near one was forgotten. {cure.why}"
    if cure.state == "purified":
        return f"Purified, estimated with recovered triggers. {cure.why}"
    return f"Not established that the backdoor is gone. {cure.why}"


def show_cure(cure: Cure) -> None:
    """ASR by what it was measured with, where the true trigger is not what measured it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="ASR with recovered triggers (estimates)", title_justify="left")
    table.add_column("triggers that the purification")
    for heading in ("n", "before", "after"):
        table.add_column(heading, justify="right")
    for name, seen in (("was told to forget", True), ("was not told of", False)):
        if rates := cure.pooled(seen=seen):
            before, after = rates
            table.add_row(name, str(after.n), Text(short(before)), Text(short(after)))
    if table.row_count:
        stdout().print(table)


def show_report(report: Report) -> None:
    """The table of a report, with what a reader must know below it."""
    from rich.text import Text

    columns = [("before" if report.after else "measured", report.before)]
    if report.after:
        columns.append(("after", report.after))
    show_measurements(columns, plain(report.model.name), report.accuracy_name)
    if report.cure is not None:
        show_cure(report.cure)
    stdout().print(Text(verdict(report)), soft_wrap=True)
    for warning in [*report.model.notes, *report.data.notes, *report.warnings]:
        note(f"Note: {warning}")


def show_classes(measured: Measurement) -> None:
    """A table with one row a class."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in ("class", "n", "ACC", "ASR", "RA"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for row in measured.per_class:
        named = row.name is not None and row.name != str(row.label)
        name = f"{row.label} {row.name}" if named else str(row.label)
        rates = (row.accuracy, row.attack_success, row.recovered_accuracy)
        cells = [Text(short(rate)) for rate in rates]
        table.add_row(Text(plain(name, 40)), str(row.accuracy.n), *cells)
    stdout().print(table)
