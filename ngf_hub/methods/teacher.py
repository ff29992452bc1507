"""The untouched model as its own teacher: what it says of a clean image, and no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

from ngf_hub.devices import shard, total
from ngf_hub.errors import DataError
from ngf_hub.methods.base import Task
from ngf_hub.methods.objective import Batch, Objective, drawn
from ngf_hub.methods.pieces import images_at_once
from ngf_hub.methods.scope import layer_parameters
from ngf_hub.methods.variations import Variations
from ngf_hub.methods.worst_case import worst_case
from ngf_hub.triggers import Trigger


class TeacherObjective(Objective):
    """Clean images and triggered ones, each with the teacher's softmax on the clean image.

    The model that it is made with is the teacher: its softmax is computed once.

    Args:
        task: The model and clean images.
        variations: The triggers.
        clean_ratio: How many clean images of a batch there are for each triggered one.
        radius: How far every second triggered image of a batch is moved on towards the
            trigger's class: see :func:`worst_case`. 0: they stay as they are.
        beside: Bytes that are taken in memory while these are moved, by curvature say.

    Raises:
        DataError: There are no images.
    """

    def __init__(
        self,
        task: Task,
        variations: Variations,
        *,
        clean_ratio: int = 1,
        radius: float = 0.0,
        beside: int = 0,
    ) -> None:
        if len(task.pixels) == 0:
            raise DataError("There are no images to tune on.")
        self._task = task
        self._variations = variations
        self._clean_ratio = clean_ratio
        self._radius = radius
        self._beside = beside
        self._images_at_once: int | None = None
        self.count = 2 * len(task.pixels)
        self._softmax = softmax_of(task)
        self._said = self._softmax.argmax(1).cpu()
        meant = variations.meant_for(self._said)
        self._meant = (meant if meant.any() else ~meant).nonzero()[:, 0].tolist()

    def batches(self, steps: int, batch_size: int) -> Iterator[Batch]:
        """See :meth:`Objective.batches`: ``batch_size`` triggered images, behind the clean ones."""
        task, count = self._task, len(self._task.pixels)
        generator = Generator().manual_seed(task.seed)
        # Other images with the trigger than without, in orders of their own.
        orders = zip(
            drawn(count, steps, batch_size * self._clean_ratio, task.seed),
            drawn(count, steps, batch_size, task.seed + 1),
            strict=True,
        )
        for step, (clean, triggered) in enumerate(orders):
            seeds = _seeds(len(triggered), generator)
            rows = shard(len(clean), task.accelerator)
            marked = shard(len(triggered), task.accelerator)
            shown = [clean[row] for row in rows]
            hidden = [self._meant[triggered[row] % len(self._meant)] for row in marked]
            with_trigger = self._variations.apply(
                self._pixels(hidden), seeds[list(marked)], self._said[hidden]
            )
            if self._radius > 0:
                # Every second of the whole batch, so that N processes move those that one would.
                moved = [place for place, row in enumerate(marked) if row % 2 == 0]
                with_trigger[moved] = self._worse(
                    with_trigger[moved],
                    [hidden[place] for place in moved],
                    seeds[[marked[place] for place in moved]],
                )
            pixels = [self._pixels(shown), with_trigger]
            yield Batch(
                step,
                torch.cat(pixels),
                self._softmax[shown + hidden],
                [*rows, *(len(clean) + row for row in marked)],
                len(clean) + len(triggered),
            )

    def everything(self) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`Objective.everything`: each image clean, then triggered."""
        for pixels, triggered, targets in self._pairs():
            yield pixels, targets
            yield triggered, targets

    def agreement(self) -> tuple[float, float]:
        """The shares of tuning images, clean and triggered, of the class the teacher says."""
        task, hits = self._task, torch.zeros(2, device=self._task.accelerator.device)
        with torch.no_grad(), task.accelerator.autocast():
            for pixels, triggered, targets in self._pairs():
                wanted = targets.argmax(1)
                for place, images in enumerate((pixels, triggered)):
                    hits[place] += (task.classifier(images).argmax(1) == wanted).sum()
        clean, with_trigger = (total(hits, task.accelerator) / len(task.pixels)).tolist()
        return clean, with_trigger

    def entropy(self) -> float:
        """The mean entropy of the teacher's softmax: what the loss falls to at best, in nats."""
        return float(-torch.special.xlogy(self._softmax, self._softmax).sum(1).mean())

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """This process's share of the images: clean, triggered, and the teacher's softmax."""
        task, device = self._task, self._task.accelerator.device
        # The same triggered images each time, so that before and after compare.
        seeds = _seeds(len(task.pixels), Generator().manual_seed(task.seed))
        mine = shard(len(task.pixels), task.accelerator)
        for pixels, _, index in task.pixels.batches(task.batch_size, device, mine):
            triggered = self._variations.apply(pixels, seeds[index], self._said[index])
            yield pixels, triggered, self._softmax[index.to(device)]

    def _worse(self, triggered: Tensor, indices: Sequence[int], seeds: Tensor) -> Tensor:
        """Triggered images, moved on towards the classes of the triggers on them."""
        task = self._task
        if self._images_at_once is None:
            # The weights of all layers that are tuned take gradients meanwhile.
            self._images_at_once = images_at_once(task, layer_parameters(task), self._beside)
        wanted = self._variations.wanted(
            self._said[indices], seeds, task.classifier.num_classes
        ).to(triggered.device)
        return worst_case(task, triggered, wanted, self._radius, self._images_at_once)

    def _pixels(self, indices: Sequence[int]) -> Tensor:
        device = self._task.accelerator.device
        return next(self._task.pixels.batches(max(1, len(indices)), device, indices))[0]


def softmax_of(task: Task, trigger: Trigger | None = None) -> Tensor:
    """The model's softmax (N, classes) on all images of a task, on each process.

    Args:
        task: The model and the images.
        trigger: Is put on them first, if given.
    """
    device, classes = task.accelerator.device, task.classifier.num_classes
    softmax = torch.zeros(len(task.pixels), classes, device=device)
    mine = shard(len(task.pixels), task.accelerator)
    task.classifier.eval()
    with torch.no_grad(), task.accelerator.autocast():
        for pixels, _, index in task.pixels.batches(task.batch_size, device, mine):
            shown = pixels if trigger is None else trigger.apply(pixels)
            softmax[index.to(device)] = task.classifier(shown).float().softmax(1)
    return total(softmax, task.accelerator)


def _seeds(count: int, generator: Generator) -> Tensor:
    return torch.randint(2**31, (count,), generator=generator)
