"""The last word on a cure: recovered triggers on images that neither tuned nor chose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ngf_hub.cure_report import Cure, Estimate
from ngf_hub.evaluation import measure
from ngf_hub.methods.base import Outcome, Task
from ngf_hub.outcome import asr_limit
from ngf_hub.report_parts import Rate
from ngf_hub.triggers import Trigger
from ngf_hub.unchanged import State

IMAGES = 500
"""Judging images for each trigger: there are many triggers, and each takes a pass."""


def judge_cure(outcome: Outcome, task: Task, original: State) -> None:
    """Estimate the ASR before and after, and withdraw a cure that does not hold.

    Args:
        outcome: Of a method that reports a cure; its estimates are filled in.
        task: The purified model, and judging images with labels.
        original: What the model was; it is the purified one again afterwards.
    """
    cure = outcome.cure
    if cure is None or not (outcome.seen or outcome.unseen):
        return
    few = replace(task, pixels=task.pixels.select(range(min(IMAGES, len(task.pixels)))))
    triggers = [(trigger, True) for trigger in outcome.seen]
    triggers += [(trigger, False) for trigger in outcome.unseen]
    bar = iter(task.track(range(2 * len(triggers)), "Estimating ASR"))
    after = [_success(few, trigger, bar) for trigger, _ in triggers]
    purified = State(task.classifier)
    original.restore()
    before = [_success(few, trigger, bar) for trigger, _ in triggers]
    purified.restore()
    next(bar, None)
    cure.estimates = [
        Estimate(family=trigger.family, target=trigger.target, seen=seen, before=b, after=a)
        for (trigger, seen), b, a in zip(triggers, before, after, strict=True)
    ]
    _confirm(cure, asr_limit(task.classifier.num_classes))


def _success(task: Task, trigger: Trigger, bar: Iterator[int]) -> Rate:
    next(bar)
    measured = measure(
        task.classifier,
        task.pixels,
        accelerator=task.accelerator,
        trigger=trigger,
        batch_size=task.batch_size,
    )
    assert measured.attack_success is not None
    return measured.attack_success


def _confirm(cure: Cure, limit: float) -> None:
    pooled = cure.pooled(seen=False)
    works = pooled is None or pooled[1].interval[1] > limit
    if cure.state in ("purified", "precaution") and works:
        rate = "none was measured" if pooled is None else pooled[1].percent()
        cure.state = "not established"
        cure.why = f"Triggers that it was not told of still work on judging images: {rate}."
