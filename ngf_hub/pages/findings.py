"""The evidence of a search: what each kind says, and what each class took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ngf_hub.pages.parts import Bar, Cell, Measure, Table
from ngf_hub.progress import duration
from ngf_hub.scan_report import Finding
from ngf_hub.scans.formats.wording import class_text, p_text
from ngf_hub.text import plain

MOST_CLASSES = 10
_HEADINGS = ("Evidence", "Result", "Class", "Statistic", "p-value", "What was found", "Time")


@dataclass(frozen=True)
class ByClass:
    """What a kind of evidence measured of each class.

    Attributes:
        title: What was measured.
        hint: Its unit, and which way is suspicious.
        classes: A bar for each class, the most suspicious first.
    """

    title: str
    hint: str
    classes: list[Measure]


def findings_table(findings: Iterable[Finding], names: Sequence[str] | None) -> Table:
    """A row for each finding.

    Args:
        findings: The findings.
        names: The model's classes, if they have names.
    """
    rows = []
    for found in findings:
        # What is shown and decides nothing is not to look like a verdict.
        doubtful = found.weak and found.status == "flagged"
        badge = "inconclusive" if doubtful else found.status.replace(" ", "-")
        rows.append(
            [
                Cell(plain(found.kind, 40) + (" (weak)" if found.weak else "")),
                Cell(found.status, badge=badge),
                Cell(class_text(found.target, _name(found.target, names))),
                Cell("" if found.statistic is None else f"{found.statistic:.3g}", number=True),
                Cell(p_text(found.p_value).removeprefix("p = ").removeprefix("p "), number=True),
                Cell(plain(found.summary, 600)),
                Cell(duration(found.seconds) if found.seconds >= 0.5 else "", number=True),
            ]
        )
    return Table("Evidence, one kind a row", _HEADINGS, rows)


def by_class(findings: Iterable[Finding], names: Sequence[str] | None) -> list[ByClass]:
    """What each class took, for the kinds of evidence that say so."""
    charts = []
    for found in findings:
        sizes, margins = found.details.get("sizes"), found.details.get("margins")
        if isinstance(sizes, dict):
            unit = plain(found.details.get("unit", ""), 60)
            hint = f"{unit[:1].upper()}{unit[1:]}. A class that takes far less is suspicious."
            title = f"{plain(found.kind, 40)}: the smallest change that leads to each class"
            values = _numbers(sizes)
            order = sorted(values, key=lambda label: values[label])
        elif isinstance(margins, list):
            labels = found.details.get("classes")
            keys = labels if isinstance(labels, list) else range(len(margins))
            values = _numbers(dict(zip(map(str, keys), margins, strict=False)))
            order = sorted(values, key=lambda label: -values[label])
            title = f"{plain(found.kind, 40)}: the largest margin of each class"
            hint = "A class far above the others is suspicious."
        else:
            continue
        classes = [_class_bar(label, values, found, names) for label in order[:MOST_CLASSES]]
        if len(classes) > 1:
            left = len(order) - len(classes)
            charts.append(
                ByClass(title, hint + (f" {left} more classes." if left else ""), classes)
            )
    return charts


def _class_bar(
    label: int, values: Mapping[int, float], found: Finding, names: Sequence[str] | None
) -> Measure:
    largest = max(max(values.values()), 0.0)
    length = 1000 * max(values[label], 0.0) / largest if largest else 0.0
    suspect = found.status == "flagged" and label == found.target
    shown = Bar("suspect" if suspect else "other", f"{values[label]:.3g}", length=length)
    return Measure(class_text(label, _name(label, names)), "", [shown])


def _numbers(given: Mapping[str, Any]) -> dict[int, float]:
    return {
        int(label): float(value)
        for label, value in given.items()
        if str(label).isdecimal() and isinstance(value, int | float)
    }


def _name(index: int | None, names: Sequence[str] | None) -> str | None:
    if index is None or names is None or not 0 <= index < len(names):
        return None
    return names[index]
