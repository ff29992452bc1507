"""How triggers are put on images while a model unlearns them: varied from image to image.

A recovered trigger is near the true one and not the same, and a model that
unlearns the one alone still answers to the other. What carries over is a
neighbourhood of the recovered ones: parts of patches, and mixtures of
perturbations or warpings at several strengths.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Generator, Tensor

from ngf_hub.recovery.bounded import MARGIN
from ngf_hub.recovery.patch import FEWEST_PIXELS
from ngf_hub.triggers import Trigger
from ngf_hub.triggers.additive import AdditiveTrigger
from ngf_hub.triggers.composite import CompositeTrigger
from ngf_hub.triggers.patch import PatchTrigger
from ngf_hub.triggers.warp import WarpTrigger, sampling_places, warped

WEAKEST, STRONGEST = 1 / MARGIN, 3 / MARGIN
"""Recovered perturbations and warpings are ``MARGIN`` times the smallest that work."""


class Variations:
    """Triggers, varied.

    Args:
        triggers: At least one; those of one family and target class are mixed.
        vary: Whether to; else one of those of a target class is put on each image as it is.
    """

    def __init__(self, triggers: Sequence[Trigger], *, vary: bool = True) -> None:
        groups: dict[Hashable, tuple[type[Variation], list[Trigger]]] = {}
        for trigger in triggers:
            key, kind = _group(trigger) if vary else ((trigger.target,), AsTheyAre)
            groups.setdefault(key, (kind, []))[1].append(trigger)
        self._variations = [kind(members) for kind, members in groups.values()]

    def meant_for(self, said: Tensor) -> Tensor:
        """Which images (N,), by their classes, any of the triggers is made for."""
        return torch.stack([each.meant_for(said) for each in self._variations]).any(0)

    def apply(self, pixels: Tensor, seeds: Tensor, said: Tensor | None = None) -> Tensor:
        """Triggered images.

        Args:
            pixels: (N, C, H, W) in [0, 1].
            seeds: (N,), int64: what is random on an image follows from its own
                seed, whatever other images are in the batch.
            said: What the images are without a trigger, classes (N,). Where it is given, an
                image has a trigger that is made for it, if there is one.
        """
        generators = [Generator().manual_seed(seed) for seed in seeds.tolist()]
        return _in_groups(self._variations, pixels, generators, said)

    def wanted(self, said: Tensor, seeds: Tensor, num_classes: int) -> Tensor:
        """The classes (N,) that :meth:`apply` with these seeds leads to.

        Args:
            said: What the images are without a trigger, classes (N,).
            seeds: As of :meth:`apply`.
            num_classes: The number of classes.
        """
        classes = said.clone()
        generators = [Generator().manual_seed(seed) for seed in seeds.tolist()]
        for variation, rows in _grouped(self._variations, generators, said):
            # All triggers of a group want the same.
            classes[rows] = variation.triggers[0].wanted(said[rows], num_classes)
        return classes


class Variation(ABC):
    """Triggers of one kind."""

    def __init__(self, triggers: Sequence[Trigger]) -> None:
        self.triggers = triggers

    def meant_for(self, said: Tensor) -> Tensor:
        """Which images (N,), by their classes, the triggers are made for."""
        return self.triggers[0].meant_for(said)

    @abstractmethod
    def put(self, pixels: Tensor, generators: Sequence[Generator]) -> Tensor:
        """Triggered images of images (N, C, H, W), with a generator for each, on the CPU."""


class AsTheyAre(Variation):
    """One of the triggers on each image."""

    def put(self, pixels: Tensor, generators: Sequence[Generator]) -> Tensor:
        """See :meth:`Variation.put`."""
        return _in_groups([_Single(trigger) for trigger in self.triggers], pixels, generators)


class Parts(Variation):
    """One of the triggers, on a random part of its pixels: as patches are completed."""

    def put(self, pixels: Tensor, generators: Sequence[Generator]) -> Tensor:
        """See :meth:`Variation.put`."""
        triggered = AsTheyAre(self.triggers).put(pixels, generators)
        shape = (1, *pixels.shape[-2:])
        shares = _between(FEWEST_PIXELS, 1, generators).view(-1, 1, 1, 1)
        drawn = torch.stack([torch.rand(shape, generator=g) for g in generators])
        return torch.where((drawn < shares).to(pixels.device), triggered, pixels)


class Mixtures(Variation):
    """Perturbations added together with random weights."""

    triggers: Sequence[AdditiveTrigger]

    def put(self, pixels: Tensor, generators: Sequence[Generator]) -> Tensor:
        """See :meth:`Variation.put`."""
        pictures = torch.stack([t.strength * t.fitted(pixels) for t in self.triggers])
        weights = _weights(len(pictures), generators).to(pixels)
        return (pixels + torch.einsum("nr,rchw->nchw", weights, pictures)).clamp(0, 1)


class MixedWarpings(Variation):
    """Warpings by control grids of one size, added together with random weights."""

    triggers: Sequence[WarpTrigger]

    def put(self, pixels: Tensor, generators: Sequence[Generator]) -> Tensor:
        """See :meth:`Variation.put`."""
        height, width = pixels.shape[-2:]
        grids = torch.stack([t.strength * t.grid for t in self.triggers])
        weights = _weights(len(grids), generators).to(grids)
        offsets = torch.einsum("nr,rdhw->ndhw", weights, grids)
        size = torch.tensor([width, height]).view(2, 1, 1)
        return warped(pixels, sampling_places(offsets / size, height, width).to(pixels))


class Partners(Variation):
    """One of the triggers, with any of its partners: for images composed of two."""

    triggers: Sequence[CompositeTrigger]

    def put(self, pixels: Tensor, generators: Sequence[Generator]) -> Tensor:
        """See :meth:`Variation.put`."""
        composed = pixels.clone()
        for row, generator in enumerate(generators):
            trigger = self.triggers[_drawn(len(self.triggers), generator)]
            which = torch.tensor([_drawn(len(trigger.partners), generator)])
            composed[row] = trigger.composed(pixels[row : row + 1], which)[0]
        return composed


class Strengths(Variation):
    """One of the triggers, its change of the image weaker or stronger: for all other families."""

    def put(self, pixels: Tensor, generators: Sequence[Generator]) -> Tensor:
        """See :meth:`Variation.put`."""
        triggered = AsTheyAre(self.triggers).put(pixels, generators)
        strengths = _between(WEAKEST, STRONGEST, generators).view(-1, 1, 1, 1).to(pixels)
        return (pixels + strengths * (triggered - pixels)).clamp(0, 1)


class _Single(Variation):
    """One trigger as it is."""

    def __init__(self, trigger: Trigger) -> None:
        super().__init__([trigger])

    def put(self, pixels: Tensor, generators: Sequence[Generator]) -> Tensor:
        return self.triggers[0].apply(pixels)


def _group(trigger: Trigger) -> tuple[Hashable, type[Variation]]:
    """What the triggers that a trigger is mixed with have in common, and how they are varied."""
    key: tuple[Hashable, ...] = (trigger.family, trigger.target)
    if isinstance(trigger, PatchTrigger):
        return key, Parts
    if isinstance(trigger, AdditiveTrigger):
        return key, Mixtures
    if isinstance(trigger, WarpTrigger):
        return (*key, tuple(trigger.grid.shape)), MixedWarpings
    if isinstance(trigger, CompositeTrigger):
        return (*key, trigger.source), Partners
    return key, Strengths


def _in_groups(
    variations: Sequence[Variation],
    pixels: Tensor,
    generators: Sequence[Generator],
    said: Tensor | None = None,
) -> Tensor:
    """For each image one of the variations, all equally likely."""
    triggered = pixels.clone()
    for variation, rows in _grouped(variations, generators, said):
        triggered[rows] = variation.put(pixels[rows], [generators[row] for row in rows])
    return triggered


def _grouped(
    variations: Sequence[Variation], generators: Sequence[Generator], said: Tensor | None
) -> Iterator[tuple[Variation, list[int]]]:
    """The images that each variation is drawn for; one that is drawn for none is left out."""
    everything = list(range(len(variations)))
    fitting = [everything] * len(generators)
    if said is not None:
        fits = torch.stack([each.meant_for(said) for each in variations], 1).cpu()
        fitting = [row.nonzero()[:, 0].tolist() or everything for row in fits]
    chosen = [own[_drawn(len(own), g)] for own, g in zip(fitting, generators, strict=True)]
    for index, variation in enumerate(variations):
        rows = [row for row, choice in enumerate(chosen) if choice == index]
        if rows:
            yield variation, rows


def _drawn(count: int, generator: Generator) -> int:
    """One of so many."""
    return int(torch.randint(count, (), generator=generator))


def _between(low: float, high: float, generators: Sequence[Generator]) -> Tensor:
    """Uniform numbers (N,)."""
    drawn = [torch.rand((), generator=generator) for generator in generators]
    return low + (high - low) * torch.stack(drawn)


def _weights(count: int, generators: Sequence[Generator]) -> Tensor:
    """Random weights (N, count) whose sums are uniform between weakest and strongest."""
    weights = torch.stack([torch.rand(count, generator=generator) for generator in generators])
    sums = _between(WEAKEST, STRONGEST, generators)
    return weights * (sums / weights.sum(1)).unsqueeze(1)
