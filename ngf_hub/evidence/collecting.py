"""Collecting every kind of evidence against one model, whatever becomes of any of them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ngf_hub.errors import ModelError, NgfHubError
from ngf_hub.evidence.base import KINDS, Case, Collected, Evidence, Recovered
from ngf_hub.progress import duration
from ngf_hub.scan_report import Finding
from ngf_hub.text import plain, redact
from ngf_hub.unchanged import State

FILES = "files"
# Below this many seconds nobody needs to be told how long it will take.
LONG = 60
_log = logging.getLogger(__name__)


@dataclass
class Evidences:
    """What all kinds together brought in.

    Attributes:
        findings: Of every kind at least one.
        recovered: The triggers, with the name of the kind that recovered them.
        seconds: What each kind took.
        warnings: What went wrong and should not have.
        complete: No kind failed for another reason than the model's own.
    """

    findings: list[Finding] = field(default_factory=list)
    recovered: list[tuple[str, Recovered]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    complete: bool = True

    def best_first(self, judged: Sequence[Finding], target: int | None) -> list[Recovered]:
        """The recovered triggers: those of the suspected class first, then by their p-value.

        Where these tell nothing, each kind's own order stays.

        Args:
            judged: The findings with their p-values.
            target: The suspected class.
        """
        p_values = {
            (finding.kind, finding.target): finding.p_value
            for finding in judged
            if finding.p_value is not None
        }

        def rank(entry: tuple[str, Recovered]) -> tuple[bool, float]:
            kind, found = entry
            leads_to = found.trigger.target
            # A kind may have a finding of its own for each family.
            known = p_values.get((kind, leads_to), p_values.get((found.trigger.family, leads_to)))
            p_value = math.inf if known is None else known
            return target is not None and leads_to != target, p_value

        return [found for _, found in sorted(self.recovered, key=rank)]


def make_kinds(names: Sequence[str] | None = None) -> dict[str, Evidence]:
    """The kinds of evidence of some names, all if left out; ``files`` is looked at anyway.

    Raises:
        NgfHubError: There is no such kind.
    """
    import ngf_hub.evidence.kinds  # noqa: F401  # registers them

    wanted = [name for name in KINDS if names is None or name in names]
    for name in names or ():
        if name not in KINDS and name != FILES:
            known = ", ".join([FILES, *KINDS])
            raise NgfHubError(f"Unknown evidence {plain(name)!r}.", f"Known: {known}.")
    return {name: KINDS[name]() for name in wanted}


def _applies(evidence: Evidence, case: Case) -> bool:
    return case.images is not None or not evidence.needs_images


def estimate(chosen: Mapping[str, Evidence], case: Case, state: State) -> str | None:
    """A line on how long it will take, if it will take long."""
    known: dict[str, float] = {}
    unknown = []
    for name, evidence in chosen.items():
        if not _applies(evidence, case):
            continue
        try:
            seconds = evidence.seconds(case)
        # What is wrong here is told when the evidence itself is collected.
        except Exception:
            _log.debug("no estimate of %s", name, exc_info=True)
            seconds = None
        finally:
            state.restore()
        if seconds is None:
            unknown.append(name)
        else:
            known[name] = seconds
    total = sum(known.values())
    if total < LONG:
        return None
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in known.items())
    more = f"; not known of {', '.join(unknown)}" if unknown else ""
    least = "at least " if unknown else ""
    return f"This will take {least}about {duration(total)} ({parts}{more})."


def collect(chosen: Mapping[str, Evidence], case: Case, state: State) -> Evidences:
    """Look for each kind of evidence; one that fails is a finding that says why.

    Args:
        chosen: The kinds by name.
        case: The model and what there is to look at it with.
        state: What the model is put back to after each kind.
    """
    from accelerate.utils import set_seed

    result = Evidences()
    for name, evidence in chosen.items():
        if not _applies(evidence, case):
            reason = "It needs clean images, and none were given."
            result.findings.append(Finding(kind=name, summary=reason))
            continue
        set_seed(case.seed)  # so that a kind finds the same whichever ran before it
        start = time.perf_counter()
        try:
            collected = evidence.collect(case)
        except Exception as error:
            collected = _failed(name, error, result)
        finally:
            state.restore()
        seconds = time.perf_counter() - start
        result.seconds[name] = seconds
        if collected.findings and not any(finding.seconds for finding in collected.findings):
            collected.findings[0].seconds = seconds
        result.findings += collected.findings
        for found in collected.triggers:
            found.trigger.origin = "recovered"
            result.recovered.append((name, found))
    return result


def _failed(name: str, error: Exception, result: Evidences) -> Collected:
    """The finding of a kind that raised."""
    said = error.message if isinstance(error, NgfHubError) else _unexpected(error)
    reason = plain(redact(said), 300)
    if not isinstance(error, ModelError):
        result.complete = False
        result.warnings.append(f"Evidence {name} could not be collected: {reason}")
    if not isinstance(error, NgfHubError):
        _log.debug("evidence %s failed", name, exc_info=error)
    return Collected([Finding(kind=name, summary=reason)])


def _unexpected(error: Exception) -> str:
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return "Memory did not suffice; give a smaller batch size."
    return f"Unexpected {type(error).__name__}: {plain(error)}"
