"""The comparison of a published result with one that was made again, figure by figure."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ngf_hub.report import Measurement, Rate, Report
from ngf_hub.report_parts import Part

REPRODUCTION_FILE = "reproduction.json"
RATES = (
    ("accuracy", ""),
    ("attack_success", "Attack success rate (ASR)"),
    ("recovered_accuracy", "Recovered accuracy (RA)"),
)


class Figure(Part):
    """A rate, published and reproduced.

    Attributes:
        agrees: Whether the two 95 % Wilson intervals overlap, over as many images;
            ``None`` where the rate is shown and not judged.
    """

    name: str
    published: Rate | None
    reproduced: Rate | None
    agrees: bool | None


class Statement(Part):
    """What is said in words, published and reproduced."""

    name: str
    published: str
    reproduced: str
    agrees: bool


class WeightsCompared(Part):
    """Published and reproduced weights.

    Attributes:
        equal: All tensors are, bit for bit.
        difference: Frobenius norm of the difference over that of the reproduced ones, of
            floating-point tensors; ``None`` where names, shapes or types differ.
        tensors: How many tensors differ.
    """

    equal: bool
    difference: float | None = None
    tensors: int = 0


class Reproduction(Part):
    """Whether a published result holds.

    Attributes:
        source: What was published: a Hub id or folder.
        commit: The commit of the repository.
        figures: Of the run, in order.
        measured: What the published weights themselves do on the same images, where they
            are not the reproduced ones.
        statements: What must be the same besides rates.
        weights: ``None`` where none are published.
        versions: Name to published and reproduced version, where the two differ.
        notes: What a reader should know.
        agrees: Whether all figures and statements agree, and the published weights are
            those reproduced or do what the report says.
        seconds: How long the run took.
        report: The report of the run.
    """

    source: str
    commit: str | None = None
    figures: list[Figure]
    measured: list[Figure] = Field(default_factory=list)
    statements: list[Statement] = Field(default_factory=list)
    weights: WeightsCompared | None = None
    versions: dict[str, tuple[str, str]] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    agrees: bool
    seconds: float = 0.0
    report: Report

    def disagreements(self) -> list[str]:
        """The names of all that does not agree."""
        rows: list[Figure | Statement] = [*self.figures, *self.measured, *self.statements]
        return [row.name for row in rows if row.agrees is False]


def overlap(one: Rate | None, other: Rate | None, *, same_n: bool = True) -> bool:
    """Whether two rates agree: both are missing, or their 95 % Wilson intervals overlap.

    Args:
        one: A rate.
        other: Another.
        same_n: They must be of as many images too.
    """
    if one is None or other is None:
        return one is other
    if same_n and one.n != other.n:
        return False
    (low, high), (other_low, other_high) = one.interval, other.interval
    return low <= other_high and other_low <= high


def compare_measurements(
    name: str,
    accuracy: str,
    one: Measurement | None,
    other: Measurement | None,
    *,
    same_n: bool = True,
) -> Iterator[Figure]:
    """The figures of two measurements, without those that neither has."""
    for field, title in RATES:
        first: Rate | None = getattr(one, field, None)
        second: Rate | None = getattr(other, field, None)
        if first is not None or second is not None:
            agrees = overlap(first, second, same_n=same_n)
            label = f"{title or accuracy}{name}"
            yield Figure(name=label, published=first, reproduced=second, agrees=agrees)


def compare_figures(published: Report, reproduced: Report, *, equal: bool) -> list[Figure]:
    """All rates of two reports.

    Args:
        published: The report that was published.
        reproduced: The report of the run.
        equal: The weights are equal. Else the triggers that the runs recovered differ, too,
            and so do the rates measured with them: the intervals cover the choice of
            images, not that of triggers. They are then shown and not judged.
    """
    accuracy = published.accuracy_name
    purified = published.after is not None or reproduced.after is not None
    before = ", before" if purified else ""
    figures = list(compare_measurements(before, accuracy, published.before, reproduced.before))
    if purified:
        figures += compare_measurements(", after", accuracy, published.after, reproduced.after)
    for seen, name in ((True, "told to forget"), (False, "not told of")):
        ours = published.cure.pooled(seen=seen) if published.cure else None
        theirs = reproduced.cure.pooled(seen=seen) if reproduced.cure else None
        if ours is None and theirs is None:
            continue
        for place, when in enumerate(("before", "after")):
            one, other = (pair[place] if pair else None for pair in (ours, theirs))
            figures.append(
                Figure(
                    name=f"ASR of recovered triggers {name}, {when}",
                    published=one,
                    reproduced=other,
                    agrees=overlap(one, other) if equal else None,
                )
            )
    return figures


def compare_statements(published: Report, reproduced: Report) -> list[Statement]:
    """What must be the same besides rates: the source, the state, the suspected class."""
    pairs: list[tuple[str, object, object]] = [
        ("Kind", published.kind, reproduced.kind),
        ("Architecture", published.model.architecture, reproduced.model.architecture),
        ("Images", _splits(published), _splits(reproduced)),
    ]
    names = sorted({*published.model.files, *reproduced.model.files})
    for name in names:
        digests = [report.model.files.get(name) for report in (published, reproduced)]
        pairs.append((f"SHA-256 of the source's {name}", digests[0], digests[1]))
    if published.cure is not None or reproduced.cure is not None:
        ours, theirs = published.cure, reproduced.cure
        pairs.append(("State", ours and ours.state, theirs and theirs.state))
        one, other = (cure.suspected.target if cure else None for cure in (ours, theirs))
        pairs.append(("Suspected class", one, other))
    return [
        Statement(name=name, published=_said(one), reproduced=_said(other), agrees=one == other)
        for name, one, other in pairs
    ]


def _splits(report: Report) -> str:
    return ", ".join(f"{part.n} {part.use}" for part in report.data.splits)


def _said(value: object) -> str:
    return "none" if value is None else str(value)


def compare_versions(published: Report, reproduced: Report) -> dict[str, tuple[str, str]]:
    """Versions, and what it ran on, where the two differ; ``-`` for what is not there."""
    ours, theirs = _versions(published), _versions(reproduced)
    return {
        name: (ours.get(name, "-"), theirs.get(name, "-"))
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    }


def _versions(report: Report) -> dict[str, str]:
    cost = report.cost
    return {
        **report.provenance.versions,
        "ngf-hub": report.provenance.tool_version,
        "device": cost.device,
        "processes": str(cost.processes),
        "mixed precision": cost.mixed_precision,
    }
