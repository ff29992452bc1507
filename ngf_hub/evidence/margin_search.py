"""The largest margins that an input can give each class, without data.

The margin of class c at x is g_c(x) − max_k≠c g_k(x), with logits g. Two
families of inputs: any image at all (:func:`maximum_margins`), and images with
one small pattern on them (:func:`sparse_gains`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ngf_hub.devices import shard, total
from ngf_hub.errors import ModelError
from ngf_hub.evidence.base import Case
from ngf_hub.evidence.synthetic import natural_noise


@dataclass(frozen=True)
class Ascent:
    """How far the search among all images goes.

    Attributes:
        starts: Random images that every class starts from; the same for all classes.
        steps: Steps from each; fewer where the margin has stopped growing.
        step_size: The first step's length in every pixel, in [0, 1]; it falls
            linearly to zero.
        patience: In so many steps a margin must have grown, or its search ends.
        tolerance: By which share of itself.
    """

    starts: int = 4
    steps: int = 25
    step_size: float = 0.2
    patience: int = 5
    tolerance: float = 0.005

    @property
    def images(self) -> int:
        """Images a class through the model, forward and backward, at most."""
        return self.starts * self.steps


@dataclass(frozen=True)
class SparseAscent:
    """How far the search among small patterns goes.

    Attributes:
        backgrounds: Synthetic images that a pattern has to work on together.
        steps: Steps.
        step_size: The first step's length in every pixel of the pattern, in
            [0, 1]; it falls linearly to zero.
        mask_step: A step's length in the mask.
        share: Of the pixels, how many the pattern may have in the end.
        settled: After which share of the steps it has no more than that.
    """

    backgrounds: int = 8
    steps: int = 25
    step_size: float = 0.3
    mask_step: float = 0.15
    share: float = 0.02
    settled: float = 0.6

    @property
    def images(self) -> int:
        """Images a class through the model, forward and backward."""
        return self.backgrounds * self.steps


def class_margins(logits: Tensor, classes: Tensor) -> Tensor:
    """Each row's logit of its class less the largest other logit.

    Args:
        logits: (N, C) with C ≥ 2.
        classes: Class indices (N,).
    """
    own = logits.gather(1, classes[:, None]).squeeze(1)
    others = logits.scatter(1, classes[:, None], -math.inf)
    return own - others.amax(1)


def maximum_margins(case: Case, classes: Tensor, ascent: Ascent) -> Tensor:
    """The largest margins over all images, max over x in [0, 1]^d.

    Projected ascent along the sign of the gradient; all classes and starts go
    through the model in common batches.

    Args:
        case: The model, which is not changed, and how to run it.
        classes: Class indices (K,).
        ascent: How far to search.

    Returns:
        (K, starts), float64, on the CPU.

    Raises:
        ModelError: Logits or their gradients are not finite.
    """
    height, width = case.classifier.preprocessing.size
    shape = (ascent.starts, case.classifier.preprocessing.channels, height, width)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(case.seed))
    device = case.classifier.device

    def search(rows: Tensor) -> Tensor:
        starts, targets = images[rows % ascent.starts], classes[rows // ascent.starts]
        return _ascend(case, starts.to(device), targets.to(device), ascent)

    found = _in_chunks(case, len(classes) * ascent.starts, case.batch_size, search)
    return found.view(len(classes), ascent.starts)


def sparse_gains(case: Case, classes: Tensor, ascent: SparseAscent) -> Tensor:
    """By how much one pattern on a few pixels lifts each class's mean margin over many images.

    One mask and one pattern a class replace pixels of every background, and go
    up the gradient of the mean margin; the mask loses its smallest entries on
    the way (iterative hard thresholding, Blumensath & Davies, 2009) until it
    has no more pixels than it may have, and only the pattern goes on. The mean
    margin without a pattern is taken off: noise looks like some classes more than
    like others.

    Args:
        case: The model, which is not changed, and how to run it. Its images are
            not used: the backgrounds are synthetic.
        classes: Class indices (K,).
        ascent: How far to search.

    Returns:
        (K,), float64, on the CPU.

    Raises:
        ModelError: Logits or their gradients are not finite.
    """
    preprocessing = case.classifier.preprocessing
    noise = natural_noise(
        ascent.backgrounds, preprocessing.channels, *preprocessing.size, seed=case.seed
    )
    backgrounds = noise.to(case.classifier.device)

    def search(rows: Tensor) -> Tensor:
        return _ascend_sparsely(case, backgrounds, classes[rows].to(backgrounds.device), ascent)

    size = max(1, case.batch_size // ascent.backgrounds)
    return _in_chunks(case, len(classes), size, search)


def _in_chunks(case: Case, count: int, size: int, search: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``search`` gives for the rows 0..count-1, divided among processes; on the CPU."""
    found = torch.zeros(count)
    chunks = torch.tensor([*shard(count, case.accelerator)], dtype=torch.int64).split(size)
    for rows in case.track(chunks, "Largest margins", len(chunks)):
        if len(rows):  # a process may have none
            found[rows] = search(rows).cpu()
    return total(found.to(case.classifier.device), case.accelerator).double().cpu()


def _ascend(case: Case, images: Tensor, targets: Tensor, ascent: Ascent) -> Tensor:
    """The largest margins (N,) on the way up from ``images``; each stops when it has converged."""
    best = torch.full((len(images),), -math.inf, device=images.device)
    climbing = torch.arange(len(images), device=images.device)
    history: list[Tensor] = []
    for step in range(ascent.steps):
        margins, gradient = _margins_and_gradient(case, images, targets)
        best[climbing] = torch.maximum(best[climbing], margins)
        history.append(best.clone())
        length = ascent.step_size * (1 - step / ascent.steps)
        images = images.add(gradient.sign(), alpha=length).clamp_(0, 1)
        if step >= ascent.patience:
            gained = best - history[-1 - ascent.patience]
            grows = (gained > ascent.tolerance * best.abs())[climbing]
            climbing, images, targets = climbing[grows], images[grows], targets[grows]
            if len(climbing) == 0:
                break
    return best


def _ascend_sparsely(
    case: Case, backgrounds: Tensor, targets: Tensor, ascent: SparseAscent
) -> Tensor:
    """By how much patterns on few pixels lift the mean margins of targets (K,)."""
    count, (channels, height, width) = len(targets), backgrounds.shape[1:]
    pixels = height * width
    fewest = max(1, round(ascent.share * pixels))
    settled = max(1, int(ascent.settled * ascent.steps))
    pattern = backgrounds.new_full((count, 1, channels, height, width), 0.5)
    mask = backgrounds.new_full((count, 1, 1, height, width), 0.3)
    momentum = torch.zeros_like(mask)
    each = targets.repeat_interleave(len(backgrounds))
    with torch.no_grad(), case.accelerator.autocast():
        logits = case.classifier(backgrounds).float()
    without = class_margins(logits.repeat(count, 1), each).view(count, -1).mean(1)
    best = torch.full_like(without, -math.inf)
    for step in range(ascent.steps):
        images = torch.lerp(backgrounds[None], pattern, mask)
        margins, gradient = _margins_and_gradient(case, images.flatten(0, 1), each)
        gradient = gradient.view_as(images)
        if step > settled:
            means = margins.view(count, -1).mean(1)
            best = torch.maximum(best, means)
        else:
            # ∂x/∂m = pattern − background, summed over what a mask's pixel covers.
            slope = (gradient * (pattern - backgrounds)).sum((1, 2), keepdim=True)
            momentum = 0.7 * momentum + _scaled(slope)
            mask = (mask + ascent.mask_step * _scaled(momentum)).clamp_(0, 1)
            # From all pixels to the fewest, by the same factor each step.
            left = round(pixels * (fewest / pixels) ** (step / settled))
            # Among equal entries those that want to grow stay.
            rank = mask + 1e-3 * momentum
            threshold = rank.flatten(1).topk(left).values[:, -1].view(-1, 1, 1, 1, 1)
            mask = mask * (rank >= threshold) if step < settled else (rank >= threshold).float()
        length = ascent.step_size * (1 - step / ascent.steps)
        up = gradient.sum(1, keepdim=True).sign()
        pattern = pattern.add(up, alpha=length).clamp_(0, 1)
    return best - without


def _scaled(values: Tensor) -> Tensor:
    """Each row divided by its largest magnitude."""
    largest = values.abs().flatten(1).amax(1)
    return values / largest.clamp_min(1e-12).view(-1, *[1] * (values.ndim - 1))


def _margins_and_gradient(case: Case, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Margins (N,) and the gradient of each with respect to its image."""
    images = images.detach().requires_grad_(True)
    with torch.enable_grad():
        with case.accelerator.autocast():
            logits = case.classifier(images).float()
        margins = class_margins(logits, targets)
        (gradient,) = torch.autograd.grad(margins.sum(), images)
    if not (torch.isfinite(logits).all() and torch.isfinite(gradient).all()):
        raise ModelError(
            "The model's logits or their gradients are not finite on synthetic images.",
            "Check the weights for NaN and infinities.",
        )
    return margins.detach(), gradient
