"""Searching changes for many classes at once, fewer classes from stage to stage.

Every class has its own change and its own few images a step, and all go through
the network in common batches, as many classes at a time as a batch holds. The
classes whose changes stay largest are dropped (successive halving: Jamieson &
Talwalkar, AISTATS 2016), and those that are left are searched more thoroughly.

Several processes take whole batches of classes in turn. A batch is composed as in one
process and draws the same random numbers, so that they find the same to the last digit,
which a search that goes on for many steps needs to end at the same place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional

from ngf_hub.adapters import Classifier
from ngf_hub.devices import failing_together, shard, total
from ngf_hub.progress import Track, silent
from ngf_hub.recovery.logits import finite_logits
from ngf_hub.recovery.pool import Pool
from ngf_hub.recovery.space import Space

THRESHOLD = 0.9
"""See :attr:`Setting.threshold`."""


@dataclass(frozen=True)
class Stage:
    """One stage of a search.

    Attributes:
        steps: Steps.
        images: Images of each class a step.
        keep: How many classes are left for the next stage.
        paired: For screening: all classes see the same images, and start from the same
            change if this is the first stage, so that a few steps and images tell them
            apart (common random numbers); they are ranked by :meth:`Space.expected`.
    """

    steps: int
    images: int
    keep: int
    paired: bool = False

    def evaluations(self, classes: int) -> int:
        """How many images go forward and backward through the network."""
        return self.steps * self.images * classes


@dataclass
class Setting:
    """What a search runs on.

    Attributes:
        classifier: The model.
        pool: The images.
        accelerator: Precision of the passes, and the processes that share them.
        batch_size: Images a pass.
        generator: What is random; on the CPU.
        track: Shows progress.
        threshold: The running share of images from which on a change works.
    """

    classifier: Classifier
    pool: Pool
    accelerator: Accelerator
    batch_size: int
    generator: torch.Generator
    track: Track = silent
    threshold: float = THRESHOLD


@dataclass
class Candidates:
    """What a search found, smallest change first.

    Attributes:
        targets: Classes (K,).
        sizes: The sizes (K,) of their smallest changes: see :meth:`Space.sizes`.
        state: See :class:`Space`, row by row as ``targets``.
    """

    targets: Tensor
    sizes: Tensor
    state: list[Tensor]

    def first(self, count: int) -> Candidates:
        """The ``count`` smallest."""
        return self.rows(self.order(count))

    def order(self, count: int) -> Tensor:
        """The rows of the ``count`` smallest, the smallest first."""
        return self.sizes.argsort(stable=True)[:count]

    def rows(self, order: Tensor) -> Candidates:
        """Some rows, in this order."""
        return Candidates(
            self.targets[order], self.sizes[order], [tensor[order] for tensor in self.state]
        )

    @staticmethod
    def joined(parts: Sequence[Candidates]) -> Candidates:
        """All of them together."""
        return Candidates(
            torch.cat([part.targets for part in parts]),
            torch.cat([part.sizes for part in parts]),
            [torch.cat(tensors) for tensors in zip(*(p.state for p in parts), strict=True)],
        )


def search(
    space_class: type[Space], setting: Setting, targets: Tensor, stages: Sequence[Stage]
) -> Candidates:
    """The smallest changes that send images to each target, the smallest first.

    Args:
        space_class: The family of changes.
        setting: What to search on.
        targets: Classes (K,), or what else the setting's pool makes of them (see
            :meth:`Pool.wanted`); one may stand there several times, for several starts.
        stages: At least one; the last says how many are returned.
    """
    shape = setting.classifier.preprocessing
    image = (shape.channels, *shape.size)
    found = None
    for number, stage in enumerate(stages, 1):
        count = max(1, setting.batch_size // stage.images)
        left = targets if found is None else found.targets
        chunks = [range(i, min(i + count, len(left))) for i in range(0, len(left), count)]
        steps = iter(
            setting.track(
                range(stage.steps * len(chunks)),
                f"Searching {space_class.family} triggers ({number}/{len(stages)})",
            )
        )
        mine = shard(len(chunks), setting.accelerator)
        first, shown = _paired(space_class, setting, stage, image) if stage.paired else (None, None)
        parts: list[Candidates] = []
        places: list[int] = []
        with failing_together(setting.accelerator):
            for number, rows in enumerate(chunks):
                if found is not None:
                    state = [tensor[rows.start : rows.stop] for tensor in found.state]
                elif first is not None:
                    state = [tensor.expand(len(rows), *tensor.shape[1:]) for tensor in first]
                else:
                    state = space_class.start(len(rows), image, setting.generator)
                wanted = left[rows.start : rows.stop]
                if number not in mine:
                    for _ in range(0 if stage.paired else stage.steps):
                        setting.pool.chosen(wanted, stage.images, setting.generator)
                    continue
                device = setting.classifier.device
                space = space_class([tensor.to(device) for tensor in state], image)
                part = _run(space, setting, wanted, stage, steps, shown)
                # Only what may survive is kept, so that memory does not grow with the classes.
                joined = Candidates.joined([*parts, part])
                order = joined.order(stage.keep)
                places = [[*places, *rows][row] for row in order.tolist()]
                parts = [joined.rows(order)]
        for _ in steps:
            pass
        if setting.accelerator.num_processes > 1:
            shapes = [tensor.shape[1:] for tensor in state]
            found = _gathered(parts, places, left, shapes, stage.keep, setting)
        else:
            found = parts[0]
    assert found is not None
    return found


def _gathered(
    parts: list[Candidates],
    places: list[int],
    targets: Tensor,
    shapes: Sequence[torch.Size],
    keep: int,
    setting: Setting,
) -> Candidates:
    """The smallest of what all processes found.

    Args:
        parts: What this one found, or nothing.
        places: For each of its rows the place among ``targets``.
        targets: All classes that were searched.
        shapes: Of one row of each tensor of the state.
        keep: How many.
        setting: What was searched on.
    """
    accelerator, device = setting.accelerator, setting.classifier.device

    def everywhere(share: Tensor) -> Tensor:
        return total(share.to(device), accelerator).cpu()

    # Those that a process dropped are not among the smallest of all either.
    sizes, known = torch.zeros(len(targets)), torch.zeros(len(targets))
    for part in parts:
        sizes[places], known[places] = part.sizes, 1.0
    sizes, known = everywhere(sizes), everywhere(known)
    sizes = torch.where(known > 0, sizes, torch.inf)
    chosen = sizes.argsort(stable=True)[:keep]
    own = {place: row for row, place in enumerate(places)}
    state = []
    for index, shape in enumerate(shapes):
        rows = torch.zeros(len(chosen), *shape)
        for row, place in enumerate(chosen.tolist()):
            if place in own:
                rows[row] = parts[0].state[index][own[place]]
        state.append(everywhere(rows))
    return Candidates(targets[chosen], sizes[chosen], state)


def _paired(
    space_class: type[Space], setting: Setting, stage: Stage, image: tuple[int, int, int]
) -> tuple[list[Tensor], Tensor]:
    """What all classes have in common in a paired stage.

    Returns:
        The change (1, ...) that each starts from, and the places (steps, images) of the
        images that each sees in each step.
    """
    first = space_class.start(1, image, setting.generator)
    shape, count = (stage.steps, stage.images), len(setting.pool.pixels)
    return first, torch.randint(count, shape, generator=setting.generator)


def _run(
    space: Space,
    setting: Setting,
    targets: Tensor,
    stage: Stage,
    steps: Iterator[int],
    shown: Tensor | None,
) -> Candidates:
    """One stage of the classes of one batch.

    Args:
        space: Their changes.
        setting: What is searched on.
        targets: The classes.
        stage: How long.
        steps: Shows progress.
        shown: In a paired stage the places (steps, images) of the images.
    """
    classifier = setting.classifier
    pool = setting.pool
    for step in range(stage.steps):
        next(steps)
        if shown is None:
            places = pool.chosen(targets, stage.images, setting.generator)
        else:
            places = pool.nearest(targets, shown[step])
        pixels = pool.at(places)
        wanted = pool.wanted(targets, places).flatten().to(classifier.device)
        with torch.enable_grad():
            with setting.accelerator.autocast():
                changed = space.apply(pixels).flatten(0, 1)
            logits = finite_logits(classifier, changed, setting.accelerator, "changed images")
            each = functional.cross_entropy(logits, wanted, reduction="none")
            losses = each.view(len(targets), stage.images).mean(1)
            hits = (logits.argmax(1) == wanted).float().view(len(targets), -1).mean(1)
            space.update(losses, hits, setting.threshold, step / stage.steps)
    if stage.paired:
        return Candidates(targets, space.expected(), [now.detach().cpu() for now in space.state])
    return Candidates(targets, space.sizes(), [kept.cpu() for kept in space.kept()])
