"""What is suspected of a model, and the triggers that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ngf_hub.cure_report import Verdict
from ngf_hub.devices import alone, exchanged, failing_together
from ngf_hub.evidence.base import Case, Recovered, Recovering
from ngf_hub.evidence.collecting import Evidences, make_kinds
from ngf_hub.evidence.verdict import Judgement, judge
from ngf_hub.methods.cure.sharing import (
    collect_shared,
    from_bytes,
    owners_of,
    to_bytes,
)
from ngf_hub.triggers import Trigger
from ngf_hub.triggers.composite import CompositeTrigger
from ngf_hub.unchanged import unchanged

WORKS = 0.9
"""A recovered trigger stands for the true one only if it succeeds this often."""
WORKS_ON_SOME = 0.6
"""The same, of one that sends each class to the next, or one class only: true ones succeed
less often, too."""


@dataclass
class Suspicion:
    """What a search for backdoors found.

    Attributes:
        judgement: The verdict with its findings.
        target: The class that it is about: the suspected one, or, where nothing was
            flagged, that of the most significant finding. ``None`` where that is of
            no single class, as of an all-to-all backdoor.
        found: The triggers to it, or of all-to-all, that work, by kind of evidence, the
            kind of the smallest p-value first.
        flagged: The kinds among them that were flagged by themselves.
    """

    judgement: Judgement
    target: int | None
    found: dict[str, list[Recovered]] = field(default_factory=dict)
    flagged: list[str] = field(default_factory=list)

    @property
    def is_backdoored(self) -> bool:
        """Whether more was found than on clean models."""
        return self.judgement.verdict == "backdoored"

    @property
    def accusing(self) -> list[str]:
        """All kinds that were flagged, those without triggers too."""
        return [finding.kind for finding in self.judgement.findings if finding.status == "flagged"]

    def triggers(self, kinds: Sequence[str]) -> list[Trigger]:
        """The triggers of some kinds."""
        return [entry.trigger for kind in kinds for entry in self.found.get(kind, [])]

    def verdict(self, class_names: Sequence[str] | None) -> Verdict:
        """For the report."""
        target = self.judgement.target
        return Verdict(
            verdict=self.judgement.verdict,
            target=target,
            target_name=class_names[target] if class_names and target is not None else None,
            p_value=self.judgement.p_value,
            summary=self.judgement.summary,
            findings=list(self.judgement.findings),
        )


def strong_kinds() -> list[str]:
    """The kinds of evidence that a verdict rests on, all but those that are only shown."""
    return [name for name in make_kinds() if name != "sharpness"]


def suspect(case: Case, kinds: Sequence[str]) -> Suspicion:
    """Look for a backdoor, and for triggers to the class that is suspected.

    Args:
        case: The model, which is not changed, and clean images.
        kinds: Names of :data:`ngf_hub.evidence.base.KINDS`.

    Raises:
        NgfHubError: There is no such kind.
    """
    with unchanged(case.classifier) as state:
        collected = collect_shared(make_kinds(kinds), case, state)
        judgement = judge(collected.findings, classes=case.classifier.num_classes)
        return _of(judgement, collected, case)


def _of(judgement: Judgement, collected: Evidences, case: Case) -> Suspicion:
    # By p-values before they are bounded: the strongest of several is forgotten first.
    by_kind = {finding.kind: finding for finding in judgement.findings}
    judged = [by_kind[kind] for kind in judgement.ranked]
    target = judgement.target
    if target is None and judged:
        target = judged[0].target
    found: dict[str, list[Recovered]] = {}
    for finding in judged:
        works = [
            recovered
            for kind, recovered in collected.recovered
            if kind == finding.kind and recovered.trigger.target == target and _works(recovered)
        ]
        if works:
            found[finding.kind] = works
    if not found and target is not None:
        # A kind without triggers of its own pointed there, or those that it found fail.
        for kind, entries in recover_each(case, searching_kinds(), target).items():
            works = [entry for entry in entries if _works(entry)]
            if works:
                found[kind] = works
    flagged = [
        finding.kind
        for finding in judged
        if finding.kind in found and finding.status == "flagged" and finding.target == target
    ]
    return Suspicion(judgement, target, found, flagged)


def _works(recovered: Recovered) -> bool:
    trigger = recovered.trigger
    on_some = trigger.target is None or isinstance(trigger, CompositeTrigger)
    least = WORKS_ON_SOME if on_some else WORKS
    return (recovered.success.value or 0.0) >= least


def searching_kinds() -> list[str]:
    """The kinds of evidence that recover triggers."""
    return [name for name, kind in make_kinds().items() if isinstance(kind, Recovering)]


def recover_for(case: Case, kind: str, target: int | None) -> list[Recovered]:
    """Triggers of one kind to one class, those that work best first.

    Args:
        case: The model, which is not changed, and clean images to search on.
        kind: One of :func:`searching_kinds`.
        target: The class, or ``None`` for all-to-all.
    """
    with unchanged(case.classifier):
        evidence = make_kinds([kind])[kind]
        assert isinstance(evidence, Recovering)
        doors = evidence.recover(case, target)
    for entry in doors:
        entry.trigger.origin = "recovered"
    return doors


def recover_each(
    case: Case, kinds: Sequence[str], target: int | None
) -> dict[str, list[Recovered]]:
    """:func:`recover_for` each of some kinds; processes share them."""
    accelerator = case.accelerator
    owners = owners_of(make_kinds(kinds), case, classes=1)
    # What no process owns, all do together.
    together = {kind: recover_for(case, kind, target) for kind in kinds if kind not in owners}
    if not owners:
        return together
    itself = replace(case, accelerator=alone(accelerator))
    own: dict[str, Evidences] = {}
    with failing_together(accelerator):
        for kind, owner in owners.items():
            if owner == accelerator.process_index:
                recovered = recover_for(itself, kind, target)
                own[kind] = Evidences(recovered=[(kind, entry) for entry in recovered])
    parts: dict[str, Evidences] = {}
    for payload in exchanged(to_bytes(own), accelerator):
        parts.update(from_bytes(payload))
    shared = {kind: [entry for _, entry in part.recovered] for kind, part in parts.items()}
    return {kind: (together | shared)[kind] for kind in kinds}


def unseen_triggers(
    case: Case, kinds: Sequence[str], target: int | None
) -> dict[str, list[Trigger]]:
    """Triggers by kind that were searched anew, from the starts and on the images of ``case``.

    Purification is not told of them, so that they show whether what it forgot is the
    backdoor or only what it was told. Where none of a kind works as often as one that is
    forgotten must, those that work on most images do: that they fail afterwards tells as much.
    """
    recovered = recover_each(case, kinds, target)
    return {kind: _checking(recovered[kind]) for kind in kinds}


def _checking(recovered: Sequence[Recovered]) -> list[Trigger]:
    works = [entry.trigger for entry in recovered if _works(entry)]
    on_most = [e.trigger for e in recovered if (e.success.value or 0.0) >= WORKS_ON_SOME]
    return works or on_most
