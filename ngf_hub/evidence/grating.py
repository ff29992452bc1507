"""Gratings: does one sinusoid, and no other, send images to one class, and to that class only?

Sinusoidal triggers (SIG: Barni et al., ICIP 2019, arXiv 1902.11237) cover the
whole image, and a search along gradients leaves them for small perturbations of
high frequency. Here a dictionary of sinusoids is tried instead, with forward
passes alone and for all classes at once. A class that looks like texture
answers to many of them; a backdoor answers to one frequency in one orientation.
So it is judged how far the best frequency of a class stands out from its others,
and how much further than that of any other class: signs of traffic have some
classes that each answer to a frequency of its own.
"""

from __future__ import annotations

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
from ngf_hub.recovery.doors import change_size
from ngf_hub.recovery.gratings import PHASES, Standing, frequencies, gratings, stands_out
from ngf_hub.recovery.logits import finite_logits, margins_of
from ngf_hub.recovery.pool import Pool, make_pools
from ngf_hub.scan_report import Finding
from ngf_hub.triggers.additive import AdditiveTrigger

AMPLITUDE = 32 / 255
IMAGES = 16
"""Images that every grating is put on: the same, so that gratings differ by nothing else."""
LADDER = tuple(level / 255 for level in (4, 6, 8, 11, 16, 22, 32, 45, 64))
LADDER_IMAGES = 12
WORKS = 0.9
COMPLETED = 1.5
"""A trigger that is returned has so many times the smallest amplitude that works."""
WORTH = 1.0
"""A class that stands out by this much has its triggers recovered, whatever the verdict is."""
MOST_TRIGGERS = PHASES
IMAGES_A_PASS = 128


@register
class GratingRecovery(Recovering):
    """A sweep over sinusoids, and the smallest amplitudes of those that stand out."""

    name = "grating"
    citation = "Sinusoids of Barni et al., ICIP 2019, arXiv 1902.11237, tried one after another"

    def evaluations(self, case: Case) -> int:
        """How many images go forward through the network at most, judging aside."""
        waves = len(frequencies(*case.classifier.preprocessing.size)) * PHASES
        return waves * IMAGES + PHASES * len(LADDER) * LADDER_IMAGES

    def seconds(self, case: Case) -> float | None:
        """See :meth:`Evidence.seconds`: one forward pass is timed."""
        return seconds_an_image(case, IMAGES_A_PASS, backward=False) * self.evaluations(case)

    def collect(self, case: Case) -> Collected:
        """See :meth:`Evidence.collect`."""
        sweep = Sweep(case)
        standing = sweep.standing
        finding = Finding(kind=self.name, summary="")
        if standing is None:
            finding.summary = "There are too few frequencies or classes to compare gratings."
            return Collected([finding])
        target, margin = int(standing.classes[0]), float(standing.margins[0])
        vertical, horizontal = sweep.grid[int(standing.rows[0])].tolist()
        finding.statistic, finding.target = standing.statistic, target
        finding.details = {
            "periods": {"vertical": vertical, "horizontal": horizontal},
            "stands_out": float(standing.values[0]),
            "margin": margin,
            "runner_up": float(standing.runners_up[0]),
            "amplitude": AMPLITUDE,
            "evaluations": self.evaluations(case),
        }
        name = class_label(target, case.classifier.class_names)
        if margin > 0:
            finding.summary = (
                f"A grating of {abs(horizontal)} x {vertical} periods leads to class {name}, "
                f"{float(standing.values[0]):.1f} standard deviations above other frequencies."
            )
        else:
            finding.summary = "No single frequency of gratings leads to a class."
        worth = standing.statistic > WORTH
        return Collected([finding], sweep.doors(target) if worth else [])

    def recover(self, case: Case, target: int | None) -> list[Recovered]:
        """See :meth:`Recovering.recover`: of the frequency that leads there most surely."""
        return [] if target is None else Sweep(case).doors(target)


class Sweep:
    """All gratings tried on a few images.

    Args:
        case: The model and clean images.

    Raises:
        DataError: There are no images, or too few.
        ModelError: Logits are not finite.
    """

    def __init__(self, case: Case) -> None:
        if case.images is None:
            raise DataError("Gratings need clean images to be put on.", "Give --dataset.")
        self.case = case
        self.classifier = case.classifier.eval()
        self.batch_size = min(IMAGES_A_PASS, case.batch_size)
        self.pool, self.judging = make_pools(
            self.classifier, case.images, batch_size=self.batch_size, seed=case.seed
        )
        self.grid = frequencies(*self.classifier.preprocessing.size)
        self.standing: Standing | None = stands_out(self.margins().amax(1), self.grid)

    @torch.no_grad()
    def margins(self) -> Tensor:
        """Mean margins (F, PHASES, K) of every class, on the CPU, where each grating is added.

        The margin of a class on an image is its logit minus the largest of the others'.
        Only images not taken for the class before count; −∞ where there is none.
        """
        images, predicted = _varied(self.pool, IMAGES, self.case.seed)
        height, width = images.shape[-2:]
        classes = range(self.classifier.num_classes)
        counts = torch.stack([predicted != label for label in classes], 1)
        total = torch.zeros(len(self.grid) * PHASES, counts.shape[1])
        # Pairs of a grating and an image, in passes of at most batch_size of them.
        pairs = torch.arange(len(total) * len(images))
        for part in self.case.track(pairs.split(self.batch_size), "Gratings"):
            grating, image = part // len(images), part % len(images)
            first, last = int(grating[0]) // PHASES, int(grating[-1]) // PHASES
            waves = gratings(self.grid[first : last + 1], height, width)[grating - first * PHASES]
            logits = self._logits(images[image] + AMPLITUDE * waves[:, None].to(images))
            total.index_add_(0, grating, margins_of(logits).cpu() * counts[image])
        number = counts.sum(0)
        mean = torch.where(number > 0, total / number.clamp_min(1), -torch.inf)
        return mean.view(len(self.grid), PHASES, -1)

    def doors(self, target: int) -> list[Recovered]:
        """The phases of a class's best frequency that work at some amplitude, as triggers."""
        row = self.standing.row_of(target) if self.standing is not None else None
        if row is None:
            return []
        victims = self.pool.pixels[self.pool.predicted != target][:LADDER_IMAGES]
        found = []
        for picture in gratings(self.grid[row : row + 1], *victims.shape[-2:]):
            for amplitude in LADDER:
                if self._share(victims, amplitude * picture, target) >= WORKS:
                    found.append((amplitude, picture))
                    break
        found.sort(key=lambda entry: entry[0])
        doors = []
        for amplitude, picture in found[:MOST_TRIGGERS]:
            wave = min(COMPLETED * amplitude, LADDER[-1]) * picture
            channels = self.classifier.preprocessing.channels
            trigger = AdditiveTrigger(wave.expand(channels, -1, -1).clone(), 1.0, target)
            success = self.judging.success(self.classifier, trigger, self.batch_size)
            doors.append(Recovered(trigger, change_size(trigger, self.judging.pixels), success))
        return sorted(doors, key=lambda door: -(door.success.value or 0.0))

    @torch.no_grad()
    def _share(self, victims: Tensor, wave: Tensor, target: int) -> float:
        """The share of images that a wave (height, width) sends to the target."""
        changed = victims + wave.to(victims)
        hits = [self._logits(part).argmax(1) == target for part in changed.split(self.batch_size)]
        return float(torch.cat(hits).float().mean())

    def _logits(self, pixels: Tensor) -> Tensor:
        accelerator = self.case.accelerator
        return finite_logits(
            self.classifier, pixels.clamp(0, 1), accelerator, "images with a grating"
        )


def _varied(pool: Pool, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random images and their predictions, of as many predicted classes as there are."""
    predicted = pool.predicted.cpu()
    order = torch.randperm(len(predicted), generator=torch.Generator().manual_seed(seed))
    seen: dict[int, int] = {}
    turns = []
    for label in predicted[order].tolist():
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    # The first of every class come before the second of any.
    chosen = order[torch.tensor(turns).argsort(stable=True)[:count]]
    return pool.pixels[chosen.to(pool.pixels.device)], predicted[chosen]
