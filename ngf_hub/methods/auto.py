"""The default: look for a backdoor, forget it by the layers that suffice, and check.

1. Search the model for a class that triggers lead to far more easily than on clean
   models (:mod:`ngf_hub.evidence`). If there is none, nothing is changed. What
   comes near, so that few clean models look as suspicious, is forgotten as a precaution
   if the first attempt does so at little cost; else, too, nothing is changed.
2. Choose the layers that promise most (:func:`ngf_hub.methods.cure.layers.promising`).
3. Let them forget the recovered triggers, with the untouched model as teacher and
   without labels (:mod:`ngf_hub.methods.unlearn`), half of the triggered images made a
   little worse sample by sample (:mod:`ngf_hub.methods.worst_case`).
4. Try recovered triggers that it was not told of, on images held out from tuning.
   Less of the way to the tuned weights is gone where it costs too much and that suffices.
   If they still work, start again from the untouched weights: with the kinds of triggers
   that are left beside the first, if it was not told of them; then with images made worse
   by more, the best layer of all beside the others, and all layers; if it cost too much,
   with one layer alone.
5. Search again from new starts, by the kinds of evidence that had found something, and
   by those that accused the model if none of them recovers triggers.
   If more is found than on clean models, go on with what was found.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ngf_hub.adapters.layers import Layer
from ngf_hub.cure_report import Attempt, Cure, CureState, RankedLayer, Verdict
from ngf_hub.devices import total
from ngf_hub.errors import DataError
from ngf_hub.evidence.base import Case
from ngf_hub.evidence.verdict import NEAR
from ngf_hub.methods.base import Method, Outcome, Task, option, register
from ngf_hub.methods.cure.attempts import HeldOut, tune
from ngf_hub.methods.cure.layers import rank_layers
from ngf_hub.methods.cure.plans import WORST_CASE, Plan, distinct, plans
from ngf_hub.methods.cure.suspicion import (
    Suspicion,
    searching_kinds,
    strong_kinds,
    suspect,
    unseen_triggers,
)
from ngf_hub.methods.interpolation import Start
from ngf_hub.methods.scope import layer_parameters
from ngf_hub.outcome import asr_limit
from ngf_hub.triggers import Trigger
from ngf_hub.unchanged import State

HELD_OUT = 5
"""One in so many images is held out from tuning."""
FEWEST = 100
SHORTER = (0.6, 0.4)
"""Shares of the way to the tuned weights that are tried where unlearning's own costs too much."""
GIVEN = "given"
"""The kind of the triggers that the user names."""


@register
@dataclass
class Auto(Method):
    """Search, choose a layer, unlearn, verify; labels are not needed."""

    name: ClassVar[str] = "auto"
    citation: ClassVar[str] = (
        "Recovered triggers unlearned without labels, in few layers, by natural gradients; "
        "after Wang et al., IEEE S&P 2019, and Karim et al., arXiv 2306.17441"
    )
    needs_labels: ClassVar[bool] = False
    heeds_triggers: ClassVar[bool] = True

    steps: int = option(40, "mini-batch steps an attempt", low=1)
    attempts: int = option(4, "how many ways to forget are tried a round at most", low=1)
    rounds: int = option(2, "how often is searched again and gone on at most", low=1)
    max_drop: float = option(1.0, "points of clean accuracy that may be spent")
    budget: float = option(0.0, "seconds after which nothing new is begun; 0: no limit")
    force: int = option(0, "1: go on where nothing was found on the model")
    caution: float = option(
        NEAR,
        "largest p-value at which what comes near a backdoor is forgotten as a precaution, if "
        "max_drop may well suffice; 0: never",
        high=1,
    )

    def tune(self, task: Task) -> Outcome:
        """See :meth:`Method.tune`."""
        return _Run(self, task).outcome()


class _Run:
    """One run, from the search to its own check."""

    def __init__(self, options: Auto, task: Task) -> None:
        if len(task.pixels) < FEWEST:
            raise DataError(
                f"{len(task.pixels)} clean images are too few to search, tune and check on.",
                f"Give {FEWEST} or more; 500 is a good number.",
            )
        self.options, self.task = options, task
        self.start = time.monotonic()
        generator = torch.Generator().manual_seed(task.seed)
        order = torch.randperm(len(task.pixels), generator=generator).tolist()
        count = len(order) // HELD_OUT
        self.tuning = replace(task, pixels=task.pixels.select(order[count:]))
        self.checking = replace(task, pixels=task.pixels.select(order[:count]))
        self.original = State(task.classifier)
        self.limit = asr_limit(task.classifier.num_classes)
        self.precaution = False

    def outcome(self) -> Outcome:
        """Search, and go on if there is reason to."""
        suspicion = suspect(self._case(0), strong_kinds())
        suspected = suspicion.verdict(self.task.classifier.class_names)
        if not (suspicion.is_backdoored or self.options.force or self.task.triggers):
            near = _within(suspected, self.options.caution)
            self.precaution = near and bool(suspicion.found)
            if not self.precaution:
                cure = Cure(state="nothing found", why=suspected.summary, suspected=suspected)
                return Outcome([], 0, layers=[], cure=cure)
        cure = Cure(state="not established", suspected=suspected)
        if not (suspicion.found or self.task.triggers):
            cure.why = "No trigger was recovered that works, so there is nothing to forget."
            return Outcome([], 0, layers=[], cure=cure)
        return self._forget(suspicion, cure)

    def _forget(self, suspicion: Suspicion, cure: Cure) -> Outcome:
        searched = suspicion.flagged or list(suspicion.found)[:1]
        seen = {GIVEN: list(self.task.triggers)} if self.task.triggers else {}
        seen |= {kind: suspicion.triggers([kind]) for kind in searched}
        kinds = list(seen)
        unseen = unseen_triggers(self._case(1), searched, suspicion.target)
        ranked = rank_layers(self.tuning, [t for some in seen.values() for t in some])
        cure.ranking = [entry for _, entry in ranked]
        held_out = HeldOut.of(self.checking)
        looked = searched or searching_kinds()
        if not suspicion.flagged:
            # What accused the model has no triggers; it must be silenced by those of others.
            looked = list(dict.fromkeys([*looked, *suspicion.accusing]))
        planned = self._plans(ranked, kinds)
        if self.precaution:
            # What is natural to the classes is not forgotten by so little, and is no backdoor.
            planned = planned[:1]
        for number in range(self.options.rounds):
            best = self._attempts(planned, seen, unseen, held_out, cure, number)
            again = suspect(self._case(2 + number), looked)
            cure.again = again.verdict(self.task.classifier.class_names)
            # A kind without triggers, or one that finds no more than on clean models,
            # brings only what is natural to the classes: forgetting that does harm.
            if not again.flagged or self._late() or number + 1 == self.options.rounds:
                break
            for kind in again.flagged:
                seen.setdefault(kind, []).extend(again.triggers([kind]))
            more = replace(best.plan, kinds=list(seen))
            planned = distinct([more, replace(more, radius=WORST_CASE)])
        cure.state, cure.why = self._conclusion(best.attempt, cure)
        if self.precaution and cure.state != "precaution":
            return self._left_alone(best.attempt, cure)
        told = [trigger for kind in best.plan.kinds for trigger in seen[kind]]
        best.outcome.layers, best.outcome.cure = best.attempt.layers, cure
        best.outcome.seen = told
        best.outcome.unseen = [trigger for some in unseen.values() for trigger in some]
        return best.outcome

    def _plans(
        self, ranked: Sequence[tuple[Layer, RankedLayer]], kinds: Sequence[str]
    ) -> list[Plan]:
        if self.task.choose:
            return plans(ranked, kinds)
        # The user has named the layers.
        named = [layer.name for layer in self.task.layers]
        first = [kinds[0]]
        return distinct(
            [
                Plan(named, first),
                Plan(named, first, WORST_CASE),
                Plan(named, list(kinds), WORST_CASE),
            ]
        )

    def _attempts(
        self,
        planned: Sequence[Plan],
        seen: Mapping[str, list[Trigger]],
        unseen: Mapping[str, Sequence[Trigger]],
        held_out: HeldOut,
        cure: Cure,
        number: int,
    ) -> _Taken:
        """Tune by one plan after the other until one holds, and keep what the best one made."""
        best: _Taken | None = None
        waiting = list(planned)
        while waiting:
            plan = waiting.pop(0)
            if best is not None:
                tried = sum(entry.round == number for entry in cure.attempts)
                if self._holds(best.attempt) or self._late() or tried == self.options.attempts:
                    break
                # What forgot and cost too much needs less, what did not forget needs more.
                if self._forgot(best.attempt) != plan.is_less(best.plan):
                    continue
            self.original.restore()
            start = Start(layer_parameters(self.tuning))
            triggers = [trigger for kind in plan.kinds for trigger in seen[kind]]
            outcome = tune(self.tuning, plan.layers, triggers, self.options.steps, plan.radius)
            attempt = held_out.attempt(outcome, plan.layers, plan.kinds, unseen, plan.radius)
            attempt = self._shortened(attempt, start, outcome, unseen, held_out)
            attempt.round = number
            cure.attempts.append(attempt)
            untold = [kind for kind in attempt.left if kind not in plan.kinds]
            if untold and not self._forgot(attempt):
                waiting = distinct([entry.told(untold) for entry in (plan, *waiting)])
            if best is None or self._order(attempt) < self._order(best.attempt):
                best = _Taken(plan, outcome, attempt, State(self.task.classifier))
        assert best is not None
        for entry in cure.attempts:
            entry.taken = entry is best.attempt
        best.weights.restore()
        return best

    def _shortened(
        self,
        attempt: Attempt,
        start: Start,
        outcome: Outcome,
        unseen: Mapping[str, Sequence[Trigger]],
        held_out: HeldOut,
    ) -> Attempt:
        """Less of the way, where all of it costs too much and less forgets with some to spare."""
        for share in SHORTER:
            if not self._forgot(attempt) or self._affordable(attempt):
                break
            taken = State(self.task.classifier)
            start.approach(share / attempt.share)
            less = held_out.attempt(outcome, attempt.layers, attempt.kinds, unseen, attempt.radius)
            if less.success.interval[1] > self.limit / 2:
                taken.restore()
                break
            less.share = share
            attempt = less
        return attempt

    def _case(self, seed: int) -> Case:
        """The model with other seeds for each search; the second is on the images held out."""
        images = self.checking.pixels if seed == 1 else self.tuning.pixels
        return Case(
            self.task.classifier,
            images,
            self.task.accelerator,
            seed=self.task.seed + seed,
            batch_size=self.task.batch_size,
            track=self.task.track,
        )

    def _holds(self, attempt: Attempt) -> bool:
        unknown = not attempt.success.n  # there was nothing to try it with
        return unknown or (self._forgot(attempt) and self._affordable(attempt))

    def _affordable(self, attempt: Attempt) -> bool:
        # Few images are held out: what may as well be chance is no reason to try further.
        return 100 * (attempt.drop - attempt.drop_error) <= self.options.max_drop

    def _forgot(self, attempt: Attempt) -> bool:
        return attempt.success.interval[1] <= self.limit

    def _order(self, attempt: Attempt) -> tuple[bool, float]:
        """Those that forgot come first, and of them those that cost least."""
        forgot = self._forgot(attempt)
        return not forgot, attempt.drop if forgot else attempt.success.value or 0.0

    def _late(self) -> bool:
        spent = time.monotonic() - self.start
        late = 0 < self.options.budget <= spent
        # The clocks of processes differ, and all must decide alike.
        flag = torch.tensor(float(late), device=self.task.accelerator.device)
        return bool(total(flag, self.task.accelerator) > 0)

    def _conclusion(self, attempt: Attempt, cure: Cure) -> tuple[CureState, str]:
        if not attempt.success.n:
            return "not established", "No further trigger was recovered to check with."
        rate = f"{attempt.success.percent()} of held-out images"
        if not self._forgot(attempt):
            return "not established", f"Triggers that it was not told of still work on {rate}."
        if cure.again is not None and cure.again.verdict == "backdoored":
            return (
                "not established",
                f"A new search of the purified model finds a backdoor: {cure.again.summary}",
            )
        done = (
            f"Triggers that it was not told of work on {rate}, and a new search finds no more "
            "than on clean models."
        )
        if not self.precaution:
            return "purified", done
        if cure.again is not None and _within(cure.again, NEAR):
            return "not established", f"A new search comes as near: {cure.again.summary}"
        # By its 95 % interval: of images that a model was trained on it is too sure, and so too
        # much seems lost.
        if 100 * (attempt.drop - 1.96 * attempt.drop_error) > self.options.max_drop:
            cost = f"{100 * attempt.drop:.1f} points of accuracy"
            return "not established", f"It would cost about {cost}."
        return "precaution", f"{cure.suspected.summary} It was forgotten as a precaution. {done}"

    def _left_alone(self, attempt: Attempt, cure: Cure) -> Outcome:
        """The weights from before, where a precaution did not succeed or would cost too much."""
        self.original.restore()
        attempt.taken = False
        cure.state, cure.again = "nothing found", None  # that search was of other weights
        cure.why = (
            f"{cure.suspected.summary} To forget it as a precaution was tried, and not kept. "
            f"{cure.why} The option force keeps it all the same."
        )
        return Outcome([], 0, layers=[], cure=cure)


@dataclass
class _Taken:
    """The best attempt so far and the weights that it made."""

    plan: Plan
    outcome: Outcome
    attempt: Attempt
    weights: State


def _within(verdict: Verdict, p_value: float) -> bool:
    """Whether so few clean models look as suspicious, be it flagged or not."""
    return verdict.p_value is not None and verdict.p_value <= p_value
