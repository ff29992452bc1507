"""Backdoored models with what a search recovered of their triggers, to forget (not a script)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.cure_thirdparty import IMAGES, JUDGES
from benchmarks.known_models import read
from benchmarks.thirdparty import clean_images, load_entry
from ngf_hub import Classifier, Trigger
from ngf_hub.adapters.layers import Layer
from ngf_hub.cure_report import RankedLayer
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import default_batch_size, measure
from ngf_hub.evidence.base import Case
from ngf_hub.methods import Task
from ngf_hub.methods.cure.layers import rank_layers
from ngf_hub.methods.cure.suspicion import recover_for
from ngf_hub.methods.unlearn import NEAR, Unlearning
from ngf_hub.unchanged import State

KIND = {"vgg-badnets": "patch", "vgg-l2inv": "additive", "wrn-grid": "patch"}
"""What stands out on each third-party model."""


@dataclass
class Example:
    """A backdoored model with what it is cured with and judged by."""

    name: str
    classifier: Classifier
    true: Trigger
    tune: PixelSet
    judge: PixelSet
    recovered: list[Trigger]
    seed: int

    def __post_init__(self) -> None:
        self.original = State(self.classifier)
        self.before = self.judged()

    def task(self, names: Sequence[str] | None = None) -> Task:
        """What a method is given; all layers, if none is named."""
        layers = [layer for layer in self.classifier.layers if names is None or layer.name in names]
        size = default_batch_size(self.classifier)
        return Task(self.classifier, layers, self.tune, make_accelerator(), self.seed, size)

    @cached_property
    def ranked(self) -> list[tuple[Layer, RankedLayer]]:
        """All layers but the head, ranked without trying."""
        return rank_layers(self.task(), self.recovered)

    def judged(self) -> dict[str, float]:
        """ACC, ASR of the true trigger and RA, in per cent."""
        measured = measure(
            self.classifier, self.judge, accelerator=make_accelerator(), trigger=self.true
        )
        rates = (measured.accuracy, measured.attack_success, measured.recovered_accuracy)
        return {
            name: 100 * (rate.value or 0.0)
            for name, rate in zip(("acc", "asr", "ra"), rates, strict=True)
            if rate is not None
        }

    def judged_after(self, forget: Callable[[Task], Any], names: Sequence[str]) -> dict[str, Any]:
        """Judge the model after these layers forgot; it is untouched again afterwards."""
        start = time.perf_counter()
        forget(self.task(names))
        seconds = time.perf_counter() - start
        after = self.judged()
        self.original.restore()
        return {
            "model": self.name,
            "seed": self.seed,
            "layers": list(names),
            "seconds": round(seconds, 2),
            "before": self.before,
            **after,
        }

    def unlearned(
        self, names: Sequence[str], *, radius: float = NEAR, share: float = Unlearning.share
    ) -> dict[str, Any]:
        """Judge the model after these layers unlearned what was recovered, as ``auto`` does."""

        def forget(task: Task) -> None:
            Unlearning(radius=radius, share=share).tune(replace(task, triggers=self.recovered))

        return self.judged_after(forget, names)


def recovered(
    classifier: Classifier, images: PixelSet, kind: str, target: int, seed: int
) -> list[Trigger]:
    """What a search for one class finds."""
    case = Case(classifier, images, make_accelerator(), seed, default_batch_size(classifier))
    return [entry.trigger for entry in recover_for(case, kind, target)]


def third_party(name: str, seed: int) -> Example:
    """A model that judges."""
    classifier, true = load_entry(name)
    assert true is not None
    assert true.target is not None
    clean = clean_images(classifier, seed, IMAGES, JUDGES)
    found = recovered(classifier, clean.tune, KIND[name], true.target, seed)
    return Example(name, classifier, true, clean.tune, clean.judge, found, seed)


def of_folder(folder: Path, kind: str) -> Example:
    """A model of the zoo, or of the table of attacks."""
    known = read(folder)
    assert known.trigger is not None
    assert known.target is not None
    images = known.images(IMAGES + JUDGES, 0, labelled=True)
    tune = PixelSet(images.select(range(IMAGES)).pixels)
    judge = images.select(range(IMAGES, len(images)))
    found = recovered(known.classifier, tune, kind, known.target, 0)
    return Example(folder.name, known.classifier, known.trigger, tune, judge, found, 0)


def cost(row: dict[str, Any]) -> float:
    """What settings and layers are judged by: points of ASR that are left and of ACC lost."""
    return float(row["asr"] + max(0.0, row["before"]["acc"] - row["acc"]))
