"""All-to-all backdoors: one change that sends the images of every class to the next class.

Gu et al., BadNets, arXiv 1708.06733, section 4: label y becomes (y + 1) mod C. No class
is the target of such a backdoor, so a search for the smallest change to each class misses
it. Here the search is for shifts s instead, of class y to (y + s) mod C, where y is what
the untouched model says. The backdoor is the shift 1; the other shifts, searched in the
same way, tell what a search reaches without one.

It is judged by how many images that the search did not see are moved, and not by the
smallest size: on a clean model patches fit the few images that they are searched on,
and what size that takes says little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import median

import torch

from ngf_hub.evidence.base import Case, Collected, Recovered, register
from ngf_hub.evidence.recovered import TriggerRecovery
from ngf_hub.recovery.doors import recover_doors
from ngf_hub.recovery.patch import PatchSpace
from ngf_hub.recovery.pool import Pool, ShiftPool
from ngf_hub.recovery.search import Candidates, Setting, Stage
from ngf_hub.report import Rate
from ngf_hub.scan_report import Finding

NEXT = 1
"""The shift of the backdoor."""
OTHERS = 5
"""So many other shifts are compared with it, at most."""
THRESHOLD = 0.6
"""A patch gets smaller where this share of images is moved. True triggers move fewer than
those of one class do: where a model is not sure of a class, it is not of the next either."""
JUDGED = 60
"""So many images judge at most: as many as of the 300 that clean models were measured with.
More would make differences significant that clean models have, too."""
WORTH = 2.0
"""A shift that stands out by this much has its triggers recovered, whatever the verdict is."""


@register
class AllToAll(TriggerRecovery):
    """Masks and patterns that send each class to the next; sizes as in the kind ``patch``."""

    name = "all-to-all"
    citation = "Gu et al., BadNets, arXiv 1708.06733: y to (y + 1) mod C, against other shifts"
    change, unit = "patch", "pixels"
    space_class = PatchSpace
    first = last = Stage(80, 12, 1 + OTHERS)

    def searched(self, classes: int) -> list[int]:
        """See :meth:`TriggerRecovery.searched`: shifts."""
        return shifts(classes)

    def stages(self, classes: int) -> list[Stage]:
        """One: all shifts are compared at its end, so none is dropped."""
        return [self.last]

    def collect(self, case: Case) -> Collected:
        """See :meth:`Evidence.collect`."""
        if len(shifts(case.classifier.num_classes)) < 2:
            summary = "There are too few classes to compare shifts of them."
            return Collected([Finding(kind=self.name, summary=summary)])
        return super().collect(case)

    def recover(self, case: Case, target: int | None) -> list[Recovered]:
        """See :meth:`Recovering.recover`: none to a single class."""
        if target is not None or case.classifier.num_classes < 2:
            return []
        return self._recovered(case, NEXT)

    def setting(self, case: Case) -> tuple[Setting, Pool]:
        """See :meth:`TriggerRecovery.setting`; what is searched for are shifts."""
        setting, judging = super().setting(case)
        pool = ShiftPool(setting.pool, case.classifier.num_classes)
        return replace(setting, pool=pool, threshold=THRESHOLD), judging

    def _reported(self, found: Candidates, setting: Setting, judging: Pool) -> Collected:
        moved = self._moved(found, setting, judging)
        row = found.targets.tolist().index(NEXT)
        statistic = next_stands_out(moved)
        shares = {shift: rate.value or 0.0 for shift, rate in moved.items()}
        others = median(share for shift, share in shares.items() if shift != NEXT)
        images = f"{100 * shares[NEXT]:.0f} % of images (n = {moved[NEXT].n})"
        summary = (
            f"all-to-all: each class goes to the next, by one {self.change} that moves {images}"
            if statistic > WORTH
            else f"No {self.change} sends each class to the next: the best moves {images}"
        )
        finding = Finding(
            kind=self.name,
            statistic=statistic,
            summary=f"{summary}; other shifts of the classes reach {100 * others:.0f} %.",
            details={
                "shifts": {str(shift): share for shift, share in shares.items()},
                "shift_sizes": dict(
                    zip(map(str, found.targets.tolist()), found.sizes.tolist(), strict=True)
                ),
                "unit": self.unit,
                "judged": moved[NEXT].n,
                "evaluations": self.evaluations(setting.classifier.num_classes),
            },
        )
        doors = []
        if statistic > WORTH:
            best = found.rows(torch.tensor([row]))
            doors = recover_doors(self.space_class, setting, judging, best, self.restart)
        return Collected([finding], doors)

    def _moved(self, found: Candidates, setting: Setting, judging: Pool) -> dict[int, Rate]:
        """By shift, the share of judging images that its smallest change moves by it."""
        classifier = setting.classifier
        image = (classifier.preprocessing.channels, *classifier.preprocessing.size)
        few = Pool(judging.pixels[:JUDGED], judging.predicted[:JUDGED])
        pool = ShiftPool(few, classifier.num_classes)
        space = self.space_class(found.state, image)
        return {
            shift: pool.moved(classifier, space.trigger(row, None), shift, setting.batch_size)
            for row, shift in enumerate(found.targets.tolist())
        }


def shifts(classes: int) -> list[int]:
    """The shift 1 and others to compare it with, evenly spread.

    >>> shifts(5), shifts(43), shifts(2)
    ([1, 2, 3, 4], [1, 2, 12, 22, 32, 42], [1])
    """
    count = min(OTHERS, classes - 2)
    others = torch.linspace(2, classes - 1, max(0, count))
    return [NEXT, *(int(shift) for shift in others.round().tolist())]


def next_stands_out(moved: Mapping[int, Rate]) -> float:
    """By how many standard errors of a share the shift 1 moves more images than the others do.

    The shares are compared by the arcsine of their roots, of which the standard error is
    1 / (2 √n) whatever the share (Anscombe, 1948); the others by their median.

    Args:
        moved: By shift, of the same n images each; the shift 1 and at least one other.
    """
    angles = {shift: math.asin(math.sqrt(rate.value or 0.0)) for shift, rate in moved.items()}
    others = median(angle for shift, angle in angles.items() if shift != NEXT)
    return 2 * math.sqrt(moved[NEXT].n) * (angles[NEXT] - others)
