"""The verdict of a report in words, which card and page share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from ngf_hub.cure_report import Cure
from ngf_hub.outcome import ACCURACY_DROP_LIMIT, Outcome
from ngf_hub.report import Report
from ngf_hub.text import plain

Quote = Callable[[str], str]


class Headline(NamedTuple):
    """The verdict.

    Attributes:
        alert: How a reader should take it, by the names of GitHub's alerts.
        said: The verdict, in a sentence.
        basis: What it rests on.
    """

    alert: Literal["NOTE", "WARNING", "CAUTION"]
    said: str
    basis: str


def quoted(text: str) -> str:
    """Plain text of bounded length."""
    return plain(text, 400)


def headline(report: Report, outcome: Outcome, quote: Quote = quoted) -> Headline:
    """The verdict of a report.

    Args:
        report: The report.
        outcome: What :func:`ngf_hub.outcome.read_outcome` says of it.
        quote: Makes texts safe that may hold names from outside.
    """
    before, current = report.before.attack_success, report.current.attack_success
    limit = f"{100 * outcome.limit:.1f} %"
    if outcome.state == "not measured" or current is None:
        if report.cure is not None:
            return _of_cure(report.cure, quote)
        return Headline(
            "WARNING",
            "The attack success rate was not measured.",
            "No trigger was known, so nothing is claimed about a backdoor in this model, neither "
            "that there was one nor that there is none.",
        )
    asr = f"ASR {current.percent()}"
    kind = "trigger that the scan recovered" if outcome.estimate else "trigger named below"
    was = f"; before purification {before.percent()}" if report.after and before else ""
    if outcome.state == "present":
        said = "The backdoor is still there." if report.after else "This model has a backdoor."
        return Headline("CAUTION", said, f"The {kind} works on this model: {asr}{was}.")
    if outcome.state == "unclear":
        said = "Whether the backdoor is gone is not settled by this many images."
        return Headline("WARNING", said, f"The interval contains the limit of {limit}: {asr}{was}.")
    if outcome.state == "removed":
        said = (
            "The recovered trigger no longer works; this is an estimate."
            if outcome.estimate
            else "The trigger no longer works."
        )
        right = report.current.recovered_accuracy
        also = f"; of the same images {right.percent()} are classified right (RA)" if right else ""
        return Headline("NOTE", said, f"With the {kind}: {asr}{was}{also}.")
    return Headline(
        "NOTE",
        "The trigger has no effect on this model.",
        f"With the {kind}: {asr}{was}. The limit is {limit}.",
    )


def _of_cure(cure: Cure, quote: Quote) -> Headline:
    """The headline where no true trigger is known, by what the method says of its own work."""
    why = quote(cure.why)
    if cure.state == "nothing found":
        return Headline(
            "NOTE",
            "No backdoor was found, and the weights are those of the source.",
            f"{why} A search that finds nothing is no proof that there is nothing.",
        )
    if cure.state == "precaution":
        said = "No backdoor was found; what came near one was forgotten as a precaution."
        return Headline("NOTE", said, why)
    if cure.state == "purified":
        return Headline("NOTE", "Purified; this is an estimate with recovered triggers.", why)
    return Headline("WARNING", "It is not established that the backdoor is gone.", why)


def drop_warning(outcome: Outcome) -> str:
    """What a reader must know where clean accuracy fell a lot; empty where it did not."""
    if not outcome.costly or outcome.accuracy_drop is None:
        return ""
    return (
        f"Clean accuracy fell by {100 * outcome.accuracy_drop:.1f} percentage points, more than "
        f"the {100 * ACCURACY_DROP_LIMIT:.0f} that are usually accepted."
    )
