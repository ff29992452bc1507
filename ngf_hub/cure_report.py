"""The report's part on a cure: what was suspected, what was tried, and whether it held."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from ngf_hub.report_parts import Part, Rate
from ngf_hub.scan_report import Finding

CureState = Literal["nothing found", "purified", "precaution", "not established"]


class Verdict(Part):
    """What a search for backdoors says; see :class:`ngf_hub.scan_report.ScanReport`."""

    verdict: str
    target: int | None = None
    target_name: str | None = None
    p_value: float | None = None
    summary: str = ""
    findings: list[Finding] = Field(default_factory=list)


class RankedLayer(Part):
    """How much a layer promises; see :func:`ngf_hub.methods.cure.layers.rank_layers`."""

    name: str
    score: float


class Attempt(Part):
    """One tuning, measured on clean images that were held out from it.

    Attributes:
        layers: What was tuned.
        kinds: The kinds of triggers that it was told to forget.
        radius: The root mean square of a value in [0, 1] by which half of the triggered
            images were moved towards the triggers' class.
        share: How much of the way to the tuned weights was gone.
        success: ASR, on the held-out images, of recovered triggers that it was not told of.
        left: The kinds of those of them that still work.
        kept: The share of the held-out images on which it says what the original says.
        drop: What it cost of clean accuracy on them, as a share, as far as the original's
            softmax lets expect it.
        drop_error: Its standard error for the choice of the images.
        round: How often the model had been searched again before, from 0.
        taken: Whether it was gone on with.
    """

    layers: list[str]
    kinds: list[str]
    radius: float = 0.0
    share: float = 0.8
    steps: int
    success: Rate
    left: list[str] = Field(default_factory=list)
    kept: Rate
    drop: float
    drop_error: float = 0.0
    round: int = 0
    taken: bool = False

    @property
    def forgotten(self) -> list[str]:
        """The kinds, by how much they were made worse, and how far it went, for people."""
        worse = f"worst cases within {255 * self.radius:.1f}/255 (RMS)"
        way = f"{100 * self.share:.0f} % of the way"
        return [*self.kinds, *([worse] if self.radius > 0 else []), way]


class Estimate(Part):
    """ASR estimated with a recovered trigger, on judging images.

    Attributes:
        seen: Whether purification was told to forget it.
    """

    family: str
    target: int | None
    seen: bool
    before: Rate
    after: Rate


class Cure(Part):
    """All that ``auto`` knows of its own work.

    Attributes:
        state: ``nothing found``: nothing was suspected and the weights are those from
            before; ``purified``: recovered triggers that purification did not see work
            no more, and a new search finds no more than on clean models; ``precaution``:
            the same, of a model that was not flagged but came near; ``not established``:
            otherwise.
        why: What the state rests on, in one line.
        suspected: What the search found in the model as it came.
        again: What a new search, from new starts, found in the purified model.
        ranking: The layers, the most promising first.
        attempts: What was tried, in order.
        estimates: ASR with the triggers that were recovered.
    """

    state: CureState
    why: str = ""
    suspected: Verdict
    again: Verdict | None = None
    ranking: list[RankedLayer] = Field(default_factory=list)
    attempts: list[Attempt] = Field(default_factory=list)
    estimates: list[Estimate] = Field(default_factory=list)

    def pooled(self, *, seen: bool) -> tuple[Rate, Rate] | None:
        """ASR before and after over all triggers that were seen, or were not, together.

        The same images go into it once for each trigger, so the interval is too narrow
        where triggers agree.
        """
        chosen = [entry for entry in self.estimates if entry.seen is seen]
        if not chosen:
            return None
        return pool([entry.before for entry in chosen]), pool([entry.after for entry in chosen])


def pool(rates: Iterable[Rate]) -> Rate:
    """One rate over the images of several."""
    rates = list(rates)
    return Rate(count=sum(rate.count for rate in rates), n=sum(rate.n for rate in rates))
