"""What the pages share: tables, facts, bars and banners, as values for the templates.

Texts in them are plain; the templates escape them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ngf_hub.report_parts import Rate
from ngf_hub.text import plain, value_text

Tone = Literal["good", "info", "warn", "bad"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What it shows.
        badge: The class of a coloured badge around it; none by default.
        number: Figures that line up.
        code: Names of code.
        link: An address inside the page or on the Hub.
        sort: What the column sorts by, where it is not the text.
    """

    text: str
    badge: str = ""
    number: bool = False
    code: bool = False
    link: str = ""
    sort: str | float | None = None

    @property
    def key(self) -> str:
        """What the column sorts by."""
        return self.text if self.sort is None else str(self.sort)


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row names the row.

    Attributes:
        caption: What it shows, for those who cannot see where it stands.
        sortable: Its columns sort, where scripts run.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False


@dataclass(frozen=True)
class Bar:
    """A bar from 0 to 1000 with its interval.

    Attributes:
        series: ``before``, ``after``, or ``only`` where there is one.
        value: Such as ``84.9 %``.
        interval: Such as ``83.2 to 86.4``.
    """

    series: str
    value: str
    interval: str = ""
    length: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Measure:
    """A rate or figure before and after, as bars.

    Attributes:
        name: What was measured.
        hint: Which way is better, and on how many images.
        change: Such as ``−0.8 points``.
        limit: Where on the bars the limit lies, in 0 to 1000.
    """

    name: str
    hint: str
    bars: list[Bar] = field(default_factory=list)
    change: str = ""
    limit: float | None = None
    limit_text: str = ""


def bar(series: str, rate: Rate | None) -> Bar:
    """The bar of a rate."""
    if rate is None or rate.value is None:
        return Bar(series, "not measured")
    low, high = rate.interval
    return Bar(
        series,
        f"{100 * rate.value:.1f} %",
        f"{100 * low:.1f} to {100 * high:.1f}",
        1000 * rate.value,
        1000 * low,
        1000 * high,
    )


def measure(
    name: str,
    better: str,
    before: Rate | None,
    after: Rate | None,
    *,
    compared: bool,
    limit: float | None = None,
) -> Measure:
    """A rate before and, where there are two measurements, after.

    Args:
        better: Which way is better.
        compared: Whether there is an after at all.
        limit: The share up to which it counts as nothing.
    """
    known = after or before
    hint = f"{better}; n = {known.n:,}" if known is not None else better
    if not compared:
        bars, change = [bar("only", before)], ""
    else:
        bars = [bar("before", before), bar("after", after)]
        change = _change(before, after)
    return Measure(
        name,
        hint,
        bars,
        change,
        None if limit is None else 1000 * limit,
        "" if limit is None else f"limit {100 * limit:.0f}\u00a0%",
    )


def _change(before: Rate | None, after: Rate | None) -> str:
    if before is None or after is None or before.value is None or after.value is None:
        return ""
    points = round(100 * (after.value - before.value), 1)
    return f"{points:+.1f} points".replace("-", "−") if points else "no change"


def facts(given: Iterable[tuple[str, object]], limit: int = 300) -> list[tuple[str, str]]:
    """Names and values, those without a value left out."""
    return [
        (plain(name, 80), plain(value, limit)) for name, value in given if value not in (None, "")
    ]


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of options, each on one bounded line."""
    return facts(((key, value_text(value)) for key, value in values.items()), 160)
