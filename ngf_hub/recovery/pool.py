"""The clean images that triggers are searched and judged on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ngf_hub.adapters import Classifier
from ngf_hub.data import PixelSet
from ngf_hub.errors import DataError
from ngf_hub.report import Rate
from ngf_hub.triggers import Trigger

JUDGING = 5
"""One in so many images judges what was recovered and is never searched on."""
FEWEST = 20


@dataclass
class Pool:
    """Images, and what the model takes them for.

    Attributes:
        pixels: (N, channels, H, W) in [0, 1], on the model's device.
        predicted: Classes (N,).
    """

    pixels: Tensor
    predicted: Tensor

    def __post_init__(self) -> None:
        order = torch.arange(len(self.pixels))
        # A trigger is tried on images that are not taken for its target already.
        self._others = {
            int(label): order[self.predicted.cpu() != label] for label in self.predicted.unique()
        }
        self._all = order

    def draw(self, targets: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Random images (K, count, channels, H, W), for each target of other classes."""
        return self.at(self.chosen(targets, count, generator))

    def at(self, places: Tensor) -> Tensor:
        """The images (K, count, channels, H, W) at some places: see :meth:`chosen`."""
        return self.pixels[places.to(self.pixels.device)]

    def wanted(self, targets: Tensor, places: Tensor) -> Tensor:
        """The classes (K, count) that a search asks for, of the images at some places.

        Args:
            targets: What is searched for (K,): here the classes themselves.
            places: See :meth:`chosen`.
        """
        return targets[:, None].expand_as(places)

    def asked(self, target: int) -> int | None:
        """:attr:`Trigger.target` of a trigger that does what is searched for."""
        return target

    def chosen(self, targets: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """The places (K, count) of the images that :meth:`draw` gives."""
        rows = []
        for target in targets.tolist():
            others = self._usable(target)
            rows.append(others[torch.randint(len(others), (count,), generator=generator)])
        return torch.stack(rows)

    def nearest(self, targets: Tensor, places: Tensor) -> Tensor:
        """The same images for all targets, as far as they can be tried on them.

        Args:
            targets: Classes (K,).
            places: Of images (n,).

        Returns:
            Places (K, n): those given, and the next one where the image is taken for the
            target already.
        """
        rows = []
        for target in targets.tolist():
            others = self._usable(target)
            rows.append(others[torch.searchsorted(others, places) % len(others)])
        return torch.stack(rows)

    def _usable(self, target: int) -> Tensor:
        """The places of the images that a trigger to a target can be tried on, in order."""
        others = self._others.get(target, self._all)
        return others if len(others) else self._all

    @torch.no_grad()
    def success(self, classifier: Classifier, trigger: Trigger, batch_size: int) -> Rate:
        """The share of images not taken for what it wants that the trigger sends there."""
        wanted = trigger.wanted(self.predicted, classifier.num_classes)
        victims = wanted != self.predicted
        return _reached(classifier, trigger, self.pixels[victims], wanted[victims], batch_size)


class ShiftPool(Pool):
    """What is searched for is a shift s: of an image taken for class y, class (y + s) mod C.

    The shift 1 is the all-to-all backdoor of Gu et al. 2017 (arXiv 1708.06733); the
    others are there to be compared with it.

    Args:
        pool: The images.
        num_classes: C.
    """

    def __init__(self, pool: Pool, num_classes: int) -> None:
        super().__init__(pool.pixels, pool.predicted)
        self.num_classes = num_classes
        self._others = {}  # no image is taken for what a shift wants of it

    def wanted(self, targets: Tensor, places: Tensor) -> Tensor:
        """See :meth:`Pool.wanted`; ``targets`` are shifts."""
        return (self.predicted.cpu()[places] + targets[:, None]) % self.num_classes

    @torch.no_grad()
    def moved(self, classifier: Classifier, trigger: Trigger, shift: int, batch_size: int) -> Rate:
        """The share of images that a trigger moves by a shift, whatever its target is."""
        wanted = (self.predicted + shift) % self.num_classes
        return _reached(classifier, trigger, self.pixels, wanted, batch_size)

    def asked(self, target: int) -> int | None:
        """See :meth:`Pool.asked`.

        Raises:
            ValueError: No trigger stands for a shift but 1.
        """
        if target != 1:
            raise ValueError(f"a trigger's shift is 1, not {target}")
        return None


def _reached(
    classifier: Classifier, trigger: Trigger, pixels: Tensor, wanted: Tensor, batch_size: int
) -> Rate:
    """The share of images that a trigger sends to the class (N,) wanted of each."""
    pairs = zip(pixels.split(batch_size), wanted.split(batch_size), strict=True)
    hits = sum(
        int((classifier(trigger.apply(batch)).argmax(1) == want).sum()) for batch, want in pairs
    )
    return Rate(count=hits, n=len(wanted))


def make_pools(
    classifier: Classifier, images: PixelSet, *, batch_size: int, seed: int
) -> tuple[Pool, Pool]:
    """Split clean images into those that are searched on and those that judge.

    Args:
        classifier: The model, which says what it takes each image for.
        images: At least :data:`FEWEST`; labels are not used.
        batch_size: Images a forward pass.
        seed: The split follows from it.

    Raises:
        DataError: There are too few images.
    """
    if len(images) < FEWEST:
        raise DataError(
            f"{len(images)} images are too few to search for triggers on.",
            f"Give {FEWEST} or more; 300 is a good number.",
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    batches = list(images.batches(batch_size, classifier.device, order))
    pixels = torch.cat([batch for batch, _, _ in batches])
    with torch.no_grad():
        predicted = torch.cat([classifier(batch).argmax(1) for batch in pixels.split(batch_size)])
    judging = len(images) // JUDGING
    return (
        Pool(pixels[judging:], predicted[judging:]),
        Pool(pixels[:judging], predicted[:judging]),
    )
