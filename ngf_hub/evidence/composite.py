"""Composites: do images of two given classes, made into one, go to one third class?

A composite backdoor (Lin et al., CCS 2020) answers to no pattern: an image of
class A beside one of class B is taken for the target. So images are composed of
every two classes that the model sees in a few hundred, in several ways, and it is
looked where they go, with forward passes alone. Some pairs look like a third class
by nature, so it is judged how far the class that a pair goes to most surely is ahead
of all other classes, and of what either class of the pair does in any other company.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ngf_hub.errors import DataError
from ngf_hub.evidence.base import (
    Case,
    Collected,
    Recovered,
    Recovering,
    class_label,
    register,
)
from ngf_hub.evidence.timing import seconds_an_image
from ngf_hub.recovery.composing import (
    FEWEST_CLASSES,
    MOST_PAIRS,
    Best,
    best_first,
    best_of_targets,
    draw_pairs,
    pairs_to,
)
from ngf_hub.recovery.doors import change_size
from ngf_hub.recovery.logits import finite_logits, margins_of
from ngf_hub.recovery.pool import FEWEST, Pool
from ngf_hub.scan_report import Finding
from ngf_hub.triggers.composite import LAYOUTS, MIRRORED, CompositeTrigger

STAGES = ((1, 100), (2, 24))
"""Compositions of each pair in each layout, and how many pairs are left after them."""
LAST = 12
"""Compositions of each pair that is left in the end, in each layout; these are judged by."""
ALONE = 48
"""Compositions of each of the two classes with any other."""
NAMED = 5
"""So many pairs are named in the details: those like the true one go to its target, too."""
IMAGES_A_PASS = 128
WORTH = 0.5
"""A class that stands out by this much has its triggers recovered, whatever the verdict is."""
OPENS = 0.6
"""The share of a pair's compositions from which on it is a trigger."""
BESIDE = 0.5
"""A pair is a trigger beside the surest one from this share of its margin on."""
MOST_DOORS = 3
"""Of so many pairs at most there are triggers: for images of either class, and partners of the
other."""
PARTNERS = 16
"""So many images of a class are partners at most."""


@register
class CompositeEvidence(Recovering):
    """A sweep over pairs of classes, and those that lead to a third as triggers."""

    name = "composite"
    citation = "Lin, Xu, Liu & Zhang, Composite backdoor attack, CCS 2020; tried pair after pair"

    def evaluations(self, case: Case) -> int:
        """How many images go forward through the network at most."""
        images = 0 if case.images is None else len(case.images)
        classes = min(case.classifier.num_classes, images)
        left = min(MOST_PAIRS, classes * (classes - 1) // 2)
        compositions = 2 * ALONE
        for count, keep in (*STAGES, (LAST, 0)):
            compositions += left * len(LAYOUTS) * count
            left = min(left, keep)
        return images + compositions

    def seconds(self, case: Case) -> float | None:
        """See :meth:`Evidence.seconds`: one forward pass is timed."""
        return seconds_an_image(case, IMAGES_A_PASS, backward=False) * self.evaluations(case)

    def collect(self, case: Case) -> Collected:
        """See :meth:`Evidence.collect`."""
        finding = Finding(kind=self.name, summary="")
        sweep = Sweep(case)
        if len(sweep.classes) < FEWEST_CLASSES:
            finding.summary = (
                f"The model says {len(sweep.classes)} of its classes of the images: too few to "
                "compare pairs of them."
            )
            return Collected([finding])
        found = sweep.found()
        best, names = found.best[0], case.classifier.class_names
        finding.statistic, finding.target = found.statistic, best.target
        tried = f"{len(sweep.pairs)} of {sweep.all_pairs} pairs of classes"
        finding.details = {
            "pairs": [found.told(entry) for entry in found.pairs_there[:NAMED]],
            "alone": found.alone,
            "runner_up": found.told(found.best[1]),
            "unit": "margins in the median margin of clean images",
            "tried": tried,
            "evaluations": self.evaluations(case),
        }
        first, second, goal = (
            class_label(label, names) for label in (*found.pair(best), best.target)
        )
        finding.summary = (
            f"Images composed of class {first} and class {second} go to class {goal} in "
            f"{100 * found.share(best):.0f} %."
        )
        if len(sweep.pairs) < sweep.all_pairs:
            finding.summary += f" Only {tried} were tried."
        worth = finding.statistic > WORTH
        return Collected([finding], sweep.doors(found, best.target) if worth else [])

    def recover(self, case: Case, target: int | None) -> list[Recovered]:
        """See :meth:`Recovering.recover`: of the pairs that lead there most surely."""
        sweep = Sweep(case)
        if target is None or len(sweep.classes) < FEWEST_CLASSES:
            return []
        return sweep.doors(sweep.found(), target)


@dataclass(frozen=True)
class Found:
    """Where the pairs go that were compared in the end.

    Attributes:
        pairs: Their classes (P, 2).
        values: Their margins (P, layouts, K), in median margins of clean images.
        shares: How many of their compositions go to each class, likewise.
        best: The best pair of each class, the surest first.
        alone: The larger of the margins by which the first of these wins where either
            class of its pair is composed with any other.
    """

    pairs: Tensor
    values: Tensor
    shares: Tensor
    best: list[Best]
    alone: float

    @property
    def statistic(self) -> float:
        """How far the best is ahead of whatever else leads to any third class."""
        return self.best[0].value - max(self.best[1].value, self.alone, 0.0)

    @property
    def pairs_there(self) -> list[Best]:
        """The pairs that go where the best goes, the surest first."""
        return pairs_to(self.values, self.best[0].target)

    def doors(self, target: int) -> list[Best]:
        """The pairs most of whose compositions go to a class, the surest first."""
        there = [entry for entry in pairs_to(self.values, target) if self.share(entry) >= OPENS]
        # Pairs far behind the surest are like it at best, and may look like the class by nature.
        return [entry for entry in there[:MOST_DOORS] if entry.value >= BESIDE * there[0].value]

    def pair(self, entry: Best) -> tuple[int, int]:
        """Its classes."""
        first, second = self.pairs[entry.row].tolist()
        return first, second

    def share(self, entry: Best) -> float:
        """How many of its compositions go to its third class."""
        return float(self.shares[entry.row, entry.layout, entry.target])

    def told(self, entry: Best) -> dict[str, Any]:
        """What a finding says of it."""
        return {
            "pair": list(self.pair(entry)),
            "target": entry.target,
            "layout": list(LAYOUTS)[entry.layout],
            "share": self.share(entry),
            "margin": entry.value,
        }


class Sweep:
    """Images composed of every two classes.

    Args:
        case: The model and clean images.

    Raises:
        DataError: There are no images, or too few.
        ModelError: Logits are not finite.
    """

    def __init__(self, case: Case) -> None:
        if case.images is None:
            raise DataError("Composites are made of clean images.", "Give --dataset.")
        if len(case.images) < FEWEST:
            raise DataError(
                f"{len(case.images)} images are too few to compose.",
                f"Give {FEWEST} or more; 300 is a good number.",
            )
        self.case = case
        self.classifier = case.classifier.eval()
        self.batch_size = min(IMAGES_A_PASS, case.batch_size)
        batches = case.images.batches(self.batch_size, self.classifier.device)
        self.pixels = torch.cat([batch for batch, _, _ in batches])
        margins = torch.cat([self._margins(part) for part in self.pixels.split(self.batch_size)])
        certainty, self.predicted = margins.max(1)
        self.scale = max(float(certainty.median()), torch.finfo(torch.float32).tiny)
        self.classes = self.predicted.unique()
        self.all_pairs = self.classifier.num_classes * (self.classifier.num_classes - 1) // 2
        self.generator = torch.Generator().manual_seed(case.seed)
        self.pairs = draw_pairs(self.classes, self.generator)
        self._rows = {int(k): _surest(certainty, self.predicted == k) for k in self.classes}

    def found(self) -> Found:
        """Try all pairs, each time with more compositions and fewer of them."""
        pairs = self.pairs
        for count, keep in STAGES:
            if len(pairs) > keep:
                values, _ = self.tried(pairs, count)
                pairs = pairs[best_first(values)[:keep]]
        values, shares = self.tried(pairs, LAST)
        best = best_of_targets(values)
        alone = self.alone(pairs[best[0].row].tolist(), best[0])
        return Found(pairs, values, shares, best, alone)

    def doors(self, found: Found, target: int) -> list[Recovered]:
        """The pairs that lead to a class as triggers, those that work best first.

        They are tried on the images that were not composed in the sweep.
        """
        device = self.pixels.device
        rest = torch.ones(len(self.predicted), dtype=torch.bool)
        rest[torch.cat(list(self._rows.values()))] = False
        judging = Pool(self.pixels[rest.to(device)], self.predicted[rest].to(device))
        doors = []
        for entry in found.doors(target):
            layout = list(LAYOUTS)[entry.layout]
            first, second = found.pair(entry)
            for source, partner, name in (
                (first, second, layout),
                (second, first, MIRRORED[layout]),
            ):
                rows = self._rows[partner][:PARTNERS].to(device)
                partners = (255 * self.pixels[rows]).round().to(torch.uint8).cpu()
                trigger = CompositeTrigger(partners, source, partner, target, name)
                success = judging.success(self.classifier, trigger, self.batch_size)
                doors.append(Recovered(trigger, change_size(trigger, judging.pixels), success))
        return sorted(doors, key=lambda door: -(door.success.value or 0.0))

    def tried(self, pairs: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Where the compositions of some pairs go, by layout and class (P, layouts, K).

        Args:
            pairs: Their classes (P, 2).
            count: Compositions of each in each layout.

        Returns:
            Mean margins, of classes other than the pair's own (these have -∞), and the
            shares of the compositions that go there.
        """
        margins, shares = [], []
        for layout in self.case.track(range(len(LAYOUTS)), "Composites"):
            first, second = (
                torch.cat([self._drawn(label, count) for label in column.tolist()])
                for column in pairs.T
            )
            found = self._composed(first, second, layout).view(len(pairs), count, -1)
            margins.append(found.mean(1))
            shares.append((found > 0).float().mean(1))
        own = torch.zeros(len(pairs), self.classifier.num_classes, dtype=torch.bool)
        own.scatter_(1, pairs, True)
        return (
            torch.stack(margins, 1).masked_fill(own[:, None], -torch.inf),
            torch.stack(shares, 1),
        )

    def alone(self, pair: list[int], best: Best) -> float:
        """See :attr:`Found.alone`."""
        values = []
        others = [k for k in self._rows if k not in (*pair, best.target)]
        if not others:
            return 0.0
        drawn = torch.randint(len(others), (ALONE,), generator=self.generator).tolist()
        company = torch.cat([self._drawn(others[each], 1) for each in drawn])
        for place, label in enumerate(pair):
            members = [company, company]
            members[place] = self._drawn(label, ALONE)
            margins = self._composed(members[0], members[1], best.layout)
            values.append(float(margins[:, best.target].mean()))
        return max(values)

    def _drawn(self, label: int, count: int) -> Tensor:
        """Images that the model takes for a class, at random, as rows (count,)."""
        rows = self._rows[label]
        return rows[torch.randint(len(rows), (count,), generator=self.generator)]

    def _composed(self, first: Tensor, second: Tensor, layout: int) -> Tensor:
        """Margins (N, K) of images composed of those in some rows, on the CPU."""
        compose = list(LAYOUTS.values())[layout]
        parts = zip(first.split(self.batch_size), second.split(self.batch_size), strict=True)
        found = [
            self._margins(compose(*(self.pixels[rows.to(self.pixels.device)] for rows in part)))
            for part in parts
        ]
        return torch.cat(found) / self.scale

    @torch.no_grad()
    def _margins(self, pixels: Tensor) -> Tensor:
        """Each class's margin (N, K) on some images, in logits, on the CPU."""
        accelerator = self.case.accelerator
        return margins_of(
            finite_logits(self.classifier, pixels, accelerator, "images composed of two")
        ).cpu()


def _surest(certainty: Tensor, chosen: Tensor) -> Tensor:
    """The half of some images that the model is surest of, as rows."""
    rows = chosen.nonzero()[:, 0]
    order = certainty[rows].argsort(descending=True, stable=True)
    return rows[order[: (len(rows) + 1) // 2]]
