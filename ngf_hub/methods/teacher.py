"""The untouched model as its own teacher: what it says of a clean image, and no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

from ngf_hub.devices import shard, total
from ngf_hub.errors import DataError
from ngf_hub.methods.base import Task
from ngf_hub.methods.objective import Batch, Objective, drawn
from ngf_hub.methods.variations import Variations


class TeacherObjective(Objective):
    """Clean images and triggered ones, each with the teacher's softmax on the clean image.

    The model that it is made with is the teacher: its softmax is computed once.

    Raises:
        DataError: There are no images.
    """

    def __init__(self, task: Task, variations: Variations) -> None:
        if len(task.pixels) == 0:
            raise DataError("There are no images to tune on.")
        self._task = task
        self._variations = variations
        self.count = 2 * len(task.pixels)
        self._softmax = self._of_teacher()

    def _of_teacher(self) -> Tensor:
        """The softmax (N, classes) of all tuning images, on each process."""
        task, device = self._task, self._task.accelerator.device
        softmax = torch.zeros(len(task.pixels), task.classifier.num_classes, device=device)
        mine = shard(len(task.pixels), task.accelerator)
        task.classifier.eval()
        with torch.no_grad(), task.accelerator.autocast():
            for pixels, _, index in task.pixels.batches(task.batch_size, device, mine):
                softmax[index.to(device)] = task.classifier(pixels).float().softmax(1)
        return total(softmax, task.accelerator)

    def batches(self, steps: int, batch_size: int) -> Iterator[Batch]:
        """See :meth:`Objective.batches`: ``batch_size`` clean images and as many triggered ones."""
        task, count = self._task, len(self._task.pixels)
        generator = Generator().manual_seed(task.seed)
        # Other images with the trigger than without, in orders of their own.
        orders = zip(
            drawn(count, steps, batch_size, task.seed),
            drawn(count, steps, batch_size, task.seed + 1),
            strict=True,
        )
        for step, (clean, triggered) in enumerate(orders):
            seeds = _seeds(len(triggered), generator)
            mine = shard(len(clean), task.accelerator)
            pixels = torch.cat(
                [
                    self._pixels([clean[row] for row in mine]),
                    self._variations.apply(
                        self._pixels([triggered[row] for row in mine]), seeds[list(mine)]
                    ),
                ]
            )
            targets = self._softmax[[clean[row] for row in mine] + [triggered[row] for row in mine]]
            rows = [*mine, *(len(clean) + row for row in mine)]
            yield Batch(step, pixels, targets, rows, 2 * len(clean))

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

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """This process's share of the images: clean, triggered, and the teacher's softmax."""
        task, device = self._task, self._task.accelerator.device
        # The same triggered images each time, so that before and after compare.
        seeds = _seeds(len(task.pixels), Generator().manual_seed(task.seed))
        mine = shard(len(task.pixels), task.accelerator)
        for pixels, _, index in task.pixels.batches(task.batch_size, device, mine):
            triggered = self._variations.apply(pixels, seeds[index])
            yield pixels, triggered, self._softmax[index.to(device)]

    def _pixels(self, indices: Sequence[int]) -> Tensor:
        device = self._task.accelerator.device
        return next(self._task.pixels.batches(max(1, len(indices)), device, indices))[0]


def _seeds(count: int, generator: Generator) -> Tensor:
    return torch.randint(2**31, (count,), generator=generator)
