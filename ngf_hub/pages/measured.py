"""The page's parts on what a report measured: verdict, rates, search and check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ngf_hub.cure_report import Cure, RankedLayer, Verdict
from ngf_hub.headline import drop_warning, headline
from ngf_hub.outcome import Outcome
from ngf_hub.pages.findings import ByClass, by_class, findings_table
from ngf_hub.pages.parts import Bar, Cell, Measure, Table, Tone, measure
from ngf_hub.report import ClassRates, Rate, Report
from ngf_hub.scans.formats.wording import class_text
from ngf_hub.text import plain

MOST_CLASSES = 100
MOST_LAYERS = 8
_CURES: dict[str, tuple[Tone, str]] = {
    "purified": ("good", "Purified"),
    "precaution": ("info", "Precaution"),
    "not established": ("warn", "Not established"),
    "nothing found": ("info", "Nothing found"),
}
_STATES: dict[str, tuple[Tone, str]] = {
    "removed": ("good", "Backdoor removed"),
    "no effect": ("info", "No effect"),
    "present": ("bad", "Backdoor present"),
    "unclear": ("warn", "Not settled"),
    "not measured": ("warn", "Not measured"),
}
_WORSE: tuple[Tone, ...] = ("good", "info", "warn", "bad")


@dataclass(frozen=True)
class Banner:
    """The verdict at the top.

    Attributes:
        tone: Its colour.
        title: In one or two words.
        said: In a sentence.
        basis: What it rests on, in paragraphs.
    """

    tone: Tone
    title: str
    said: str
    basis: list[str]


@dataclass(frozen=True)
class Search:
    """A search for backdoors.

    Attributes:
        title: Of which model.
        verdict: What it says.
        state: The class of the verdict's badge.
        summary: What led to that.
    """

    title: str
    verdict: str
    state: str
    summary: str
    table: Table | None
    by_class: list[ByClass]


def banner(report: Report, outcome: Outcome) -> Banner:
    """The verdict of a report, by the true trigger where one measured, and by the cure's own."""
    _, said, basis = headline(report, outcome)
    tone, title = _STATES[outcome.state]
    told = [basis]
    cure = report.cure
    if cure is not None:
        own_tone, own_title = _CURES[cure.state]
        if outcome.state == "not measured":
            tone, title = own_tone, own_title
        else:
            state = cure.state
            told.append(f"The purification's own check, without that trigger: {state}. {cure.why}")
            if _WORSE.index(own_tone) > _WORSE.index(tone):
                tone, title = own_tone, own_title
    if report.backdoored:
        tone, title = "bad", "Backdoored on purpose"
        said = "This is a research model with a backdoor that was put there on purpose."
        told.append("It exists to test defences. Never deploy it.")
    if warning := drop_warning(outcome):
        told.append(warning)
    return Banner(tone, title, said, [plain(text, 600) for text in told if text.strip()])


def measures(report: Report, outcome: Outcome) -> list[Measure]:
    """ACC, ASR and RA before and after."""
    shown = []
    for name, field, better in (
        (report.accuracy_name, "accuracy", "higher is better"),
        ("Attack success rate (ASR)", "attack_success", "lower is better"),
        ("Recovered accuracy (RA)", "recovered_accuracy", "higher is better"),
    ):
        first: Rate | None = getattr(report.before, field)
        second: Rate | None = getattr(report.after, field) if report.after else None
        if first is None and second is None:
            continue
        limit = outcome.limit if field == "attack_success" else None
        compared = report.after is not None
        shown.append(measure(name, better, first, second, compared=compared, limit=limit))
    return shown


def pooled(cure: Cure, outcome: Outcome) -> list[Measure]:
    """ASR of the recovered triggers, which are estimates."""
    shown = []
    for name, seen in (
        ("ASR, triggers it was told to forget", True),
        ("ASR, triggers it was not told of", False),
    ):
        if rates := cure.pooled(seen=seen):
            limit = outcome.limit
            shown.append(measure(name, "an estimate", *rates, compared=True, limit=limit))
    return shown


def searches(cure: Cure, names: Sequence[str] | None) -> list[Search]:
    """The search of the model as it came, and that of the purified one."""
    given: list[tuple[str, Verdict | None]] = [
        ("In the model as it came", cure.suspected),
        ("Searched again after purification", cure.again),
    ]
    return [_search(title, verdict, names) for title, verdict in given if verdict is not None]


def _search(title: str, verdict: Verdict, names: Sequence[str] | None) -> Search:
    said = plain(verdict.verdict, 40)
    known = ("backdoored", "nothing found", "inconclusive")
    return Search(
        title,
        said,
        said.replace(" ", "-") if said in known else "not-judged",
        plain(verdict.summary, 600),
        findings_table(verdict.findings, names) if verdict.findings else None,
        by_class(verdict.findings, names),
    )


def attempts_table(cure: Cure) -> Table | None:
    """A row for each tuning that was tried."""
    if not cure.attempts:
        return None
    headings = (
        "Layers", "Forgotten", "Steps", "Round", "ASR of other triggers",
        "Same answers", "Points spent", "Taken",
    )  # fmt: skip
    rows = []
    for entry in cure.attempts:
        drop = f"{100 * entry.drop:.1f} ± {100 * entry.drop_error:.1f}".replace("-", "−")
        rows.append(
            [
                Cell(", ".join(plain(name, 80) for name in entry.layers), code=True),
                Cell(", ".join(plain(name, 40) for name in entry.forgotten)),
                Cell(str(entry.steps), number=True),
                Cell(str(entry.round + 1), number=True),
                Cell(entry.success.percent()),
                Cell(entry.kept.percent()),
                Cell(drop, number=True),
                Cell("taken" if entry.taken else "no", badge="clear" if entry.taken else ""),
            ]
        )
    return Table("What was tried, in order, measured on images held out", headings, rows)


def ranking(layers: Sequence[RankedLayer]) -> list[Measure]:
    """How much the layers promise, the most promising first."""
    shown = list(layers[:MOST_LAYERS])
    largest = max((max(entry.score, 0.0) for entry in shown), default=0.0)
    if not largest:
        return []
    return [
        Measure(
            plain(entry.name, 80),
            "",
            [Bar("other", f"{entry.score:.3g}", length=1000 * max(entry.score, 0) / largest)],
        )
        for entry in shown
    ]


def classes_table(report: Report) -> Table | None:
    """Rates of each class, those whose accuracy changed most first where there are many."""
    later = {entry.label: entry for entry in report.after.per_class} if report.after else {}
    entries = list(report.before.per_class)
    if not entries:
        return None
    if len(entries) > MOST_CLASSES:
        entries.sort(key=lambda entry: -_moved(entry, later.get(entry.label)))
        entries = entries[:MOST_CLASSES]
    triggered = any(entry.attack_success is not None for entry in entries)
    names = ["ACC", "ASR"] if triggered else ["ACC"]
    times: tuple[Literal["", " before", " after"], ...] = (
        (" before", " after") if report.after else ("",)
    )
    rows = []
    for entry in entries:
        both = (entry, later.get(entry.label))[: len(times)]
        cells = [
            Cell(class_text(entry.label, entry.name)),
            Cell(str(entry.accuracy.n), number=True),
        ]
        for field in ("accuracy", "attack_success")[: len(names)]:
            cells += [_share(getattr(part, field) if part is not None else None) for part in both]
        rows.append(cells)
    headings = ["Class", "n", *(name + time for name in names for time in times)]
    return Table("Rates of each class, in per cent with 95 % intervals", headings, rows)


def _moved(entry: ClassRates, later: ClassRates | None) -> float:
    if later is None:
        return 0.0
    return abs((later.accuracy.value or 0.0) - (entry.accuracy.value or 0.0))


def _share(rate: Rate | None) -> Cell:
    if rate is None or rate.value is None:
        return Cell("–", number=True)
    low, high = (100 * bound for bound in rate.interval)
    return Cell(f"{100 * rate.value:.1f} [{low:.0f}, {high:.0f}]", number=True)
