"""Trigger recovery: one class that images are sent to by a far smaller change than to others.

One kind for each family of changes, since a search for patches alone misses
triggers that cover the image: ``patch``, ``additive`` (blended and sinusoidal
triggers too) and ``warp``.
"""

from __future__ import annotations

from typing import ClassVar

import torch

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
from ngf_hub.recovery.additive import AdditiveSpace
from ngf_hub.recovery.doors import STARTS, recover_doors
from ngf_hub.recovery.patch import PatchSpace
from ngf_hub.recovery.pool import Pool, make_pools
from ngf_hub.recovery.search import Candidates, Setting, Stage, search
from ngf_hub.recovery.space import Space
from ngf_hub.recovery.statistic import stands_out
from ngf_hub.recovery.warp import WarpSpace
from ngf_hub.scan_report import Finding

LEFT = 4
"""So many classes are searched to the end: the suspect and three to compare it with."""
MANY = 64
"""More classes than these are screened: see :func:`screening`."""
WORTH = 0.35
"""A class that stands out by this much has its triggers recovered, whatever the verdict is."""
IMAGES_A_PASS = 128


def screening(classes: int) -> list[Stage]:
    """Two short stages that leave 32 of 1,000 classes for the searches of each kind.

    On six backdoored models of 43 classes the first ranked the true class fifth or better,
    and both together always first (``benchmarks.screening``); a fifth of the classes and a
    thirtieth are kept. Of more than 1,000 classes the shares stay, since the rank of the
    true class grows with their number.

    >>> [stage.keep for stage in screening(1000)], [stage.keep for stage in screening(21841)]
    ([200, 32], [4368, 682])
    """
    return [
        Stage(12, 1, max(200, classes // 5), paired=True),
        Stage(12, 2, max(32, classes // 32), paired=True),
    ]


class TriggerRecovery(Recovering):
    """A search of one family of changes for all classes at once.

    Attributes:
        space_class: The family.
        first: The stage that all classes go through.
        last: The stage of those that are left.
    """

    citation = "Wang et al., Neural Cleanse, IEEE S&P 2019; all classes at once, in three families"
    space_class: ClassVar[type[Space]]
    first: ClassVar[Stage]
    last: ClassVar[Stage]
    change: ClassVar[str]
    unit: ClassVar[str]

    def searched(self, classes: int) -> list[int]:
        """What is searched for in a model of so many classes: each of them."""
        return list(range(classes))

    def stages(self, classes: int) -> list[Stage]:
        """The stages of the search for a number of classes."""
        return [*(screening(classes) if classes > MANY else []), self.first, self.last]

    def evaluations(self, classes: int) -> int:
        """How many images go forward and backward through the network at most."""
        counts = {0: len(self.searched(classes))}
        stages = self.stages(classes)
        for number, stage in enumerate(stages, 1):
            counts[number] = min(counts[number - 1], stage.keep)
        searched = sum(stage.evaluations(counts[i]) for i, stage in enumerate(stages))
        return searched + self.last.evaluations(2 * STARTS)

    def seconds(self, case: Case) -> float | None:
        """See :meth:`Evidence.seconds`: one step is timed."""
        each = seconds_an_image(case, IMAGES_A_PASS, backward=True)
        return each * self.evaluations(case.classifier.num_classes)

    def collect(self, case: Case) -> Collected:
        """See :meth:`Evidence.collect`."""
        classes = case.classifier.num_classes
        setting, judging = self.setting(case)
        targets = torch.tensor(self.searched(classes))
        found = search(self.space_class, setting, targets, self.stages(classes))
        return self._reported(found, setting, judging)

    def recover(self, case: Case, target: int | None) -> list[Recovered]:
        """See :meth:`Recovering.recover`."""
        return [] if target is None else self._recovered(case, target)

    def _recovered(self, case: Case, target: int) -> list[Recovered]:
        """Triggers of one of :meth:`searched`."""
        setting, judging = self.setting(case)
        found = search(self.space_class, setting, torch.tensor([target]), self.stages(1))
        return recover_doors(self.space_class, setting, judging, found, self.restart)

    def setting(self, case: Case) -> tuple[Setting, Pool]:
        """What a search runs on, and the images that it does not see.

        The model's parameters take no gradients from here on.

        Raises:
            DataError: There are no images, or too few.
        """
        if case.images is None:
            raise DataError("Trigger recovery needs clean images.", "Give --dataset.")
        classifier = case.classifier
        classifier.eval()
        classifier.requires_grad_(False)  # only the images' gradients are needed
        batch_size = min(IMAGES_A_PASS, case.batch_size)
        pool, judging = make_pools(classifier, case.images, batch_size=batch_size, seed=case.seed)
        generator = torch.Generator().manual_seed(case.seed)
        setting = Setting(classifier, pool, case.accelerator, batch_size, generator, case.track)
        return setting, judging

    @property
    def restart(self) -> Stage:
        """How long each further start for the class that stands out is searched."""
        return Stage(self.last.steps, self.last.images, STARTS)

    def _reported(self, found: Candidates, setting: Setting, judging: Pool) -> Collected:
        preprocessing = setting.classifier.preprocessing
        largest = self.space_class.largest((preprocessing.channels, *preprocessing.size))
        sizes, target = found.sizes.tolist(), int(found.targets[0])
        finding = Finding(
            kind=self.name,
            summary="",
            details={
                "sizes": {str(int(c)): s for c, s in zip(found.targets, sizes, strict=True)},
                "unit": self.unit,
                "evaluations": self.evaluations(setting.classifier.num_classes),
            },
        )
        finding.statistic = stands_out(sizes)
        finding.target = target
        if sizes[0] >= largest:
            finding.summary = f"No {self.change} up to the largest tried sends images to one class."
            return Collected([finding])
        times = torch.tensor(finding.statistic).exp().item()
        name = class_label(target, setting.classifier.class_names)
        finding.summary = (
            f"The smallest {self.change} to one class leads to class {name}; "
            f"to others it takes {times:.1f} times as much."
        )
        doors = []
        if finding.statistic > WORTH:
            doors = recover_doors(self.space_class, setting, judging, found, self.restart)
        return Collected([finding], doors)


@register
class PatchRecovery(TriggerRecovery):
    """Masks and patterns; sizes are L1 norms of masks in pixels."""

    name = "patch"
    change, unit = "patch", "pixels"
    space_class = PatchSpace
    first, last = Stage(60, 8, LEFT), Stage(100, 16, LEFT)


@register
class AdditiveRecovery(TriggerRecovery):
    """Perturbations; sizes are root mean squares over pixels in [0, 1]."""

    name = "additive"
    change, unit = "perturbation", "root mean square of a pixel's change"
    space_class = AdditiveSpace
    first, last = Stage(60, 8, LEFT), Stage(60, 16, LEFT)


@register
class WarpRecovery(TriggerRecovery):
    """Warpings; sizes are root mean squares of offsets over the image's side."""

    name = "warp"
    change, unit = "warping", "root mean square offset over the image's side"
    space_class = WarpSpace
    first, last = Stage(60, 8, LEFT), Stage(60, 16, LEFT)
