"""Patches: a mask and a pattern (Wang et al., Neural Cleanse, IEEE S&P 2019, section IV).

x' = (1 − m) x + m t with m (1, H, W) and t (channels, H, W) in [0, 1]; the size is
the L1 norm of m in pixels. The cross-entropy and λ times the share of the image
that is masked are minimised by Adam; λ grows where the patch works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ngf_hub.devices import failing_together, shard, total
from ngf_hub.recovery.space import Space
from ngf_hub.triggers.patch import PatchTrigger

if TYPE_CHECKING:
    from ngf_hub.recovery.search import Setting
    from ngf_hub.triggers import Trigger

RATE = 0.15
GROWTH, DECAY = 1.1, 1.15
FIRST_WEIGHT, LOWEST_WEIGHT, HIGHEST_WEIGHT = 10.0, 1e-2, 1e4
# Masks below this change a pixel by less than one of 255 steps, and are not kept.
NEGLIGIBLE = 1 / 255
# Completing a patch.
NEAR = 0.25
"""Pixels masked more than this, and their neighbours, may carry the completed patch."""
STEPS, IMAGES = 60, 16
FEWEST_PIXELS = 0.3
"""The smallest share of its pixels with which a completed patch is tried."""


class PatchSpace(Space):
    """Masks and patterns as logits, and the weight λ of each."""

    family: ClassVar[str] = "patch"

    def __init__(self, state: Sequence[Tensor], shape: tuple[int, int, int]) -> None:
        super().__init__(state, shape)
        self.mask, self.pattern, self.weight = self.state
        self.mask.requires_grad_(True)
        self.pattern.requires_grad_(True)
        self.optimiser = torch.optim.Adam([self.mask, self.pattern], lr=RATE, betas=(0.5, 0.9))

    @classmethod
    def start(
        cls, count: int, shape: tuple[int, int, int], generator: torch.Generator
    ) -> list[Tensor]:
        """See :meth:`Space.start`."""
        channels, height, width = shape
        mask = 0.5 * torch.randn(count, 1, height, width, generator=generator) - 1.5
        pattern = 0.5 * torch.randn(count, channels, height, width, generator=generator)
        return [mask, pattern, torch.full((count,), FIRST_WEIGHT)]

    def apply(self, pixels: Tensor) -> Tensor:
        """See :meth:`Space.apply`."""
        mask, pattern = torch.sigmoid(2 * self.mask), torch.sigmoid(2 * self.pattern)
        return (1 - mask)[:, None] * pixels + (mask * pattern)[:, None]

    def size(self) -> Tensor:
        """See :meth:`Space.size`: the L1 norms of the masks."""
        return torch.sigmoid(2 * self.mask).flatten(1).sum(1)

    @classmethod
    def largest(cls, shape: tuple[int, int, int]) -> float:
        """See :meth:`Space.largest`: the whole image."""
        return float(shape[1] * shape[2])

    def step(self, losses: Tensor, hits: Tensor, works: Tensor, progress: float) -> None:
        """See :meth:`Space.step`."""
        area = self.largest(self.shape)
        self.optimiser.zero_grad()
        (losses + self.weight * self.size() / area).sum().backward()
        self.optimiser.step()
        self.weight.mul_(torch.where(works, GROWTH, 1 / DECAY))
        self.weight.clamp_(LOWEST_WEIGHT, HIGHEST_WEIGHT)

    def complete(self, setting: Setting, target: int) -> list[Trigger]:
        """See :meth:`Space.complete`: patches that work with any part of their pixels.

        The smallest mask holds a part of the true trigger's pixels, and another
        from every start. Here all pixels near it are used, and every subset has
        to work, so that each pixel that the model answers to comes to light.
        """
        mask, pattern, _ = self.kept()
        near = functional.max_pool2d((torch.sigmoid(2 * mask) > NEAR).float(), 3, 1, 1)
        rows = max(1, setting.batch_size // IMAGES)
        parts = list(zip(near.split(rows), pattern.split(rows), strict=True))
        mine = shard(len(parts), setting.accelerator)
        filled = torch.zeros_like(pattern)
        with failing_together(setting.accelerator):
            for number, (masks, patterns) in enumerate(parts):
                if number in mine:
                    start = number * rows
                    filled[start : start + rows] = _filled(setting, masks, patterns, target)
                else:  # the next part goes on from where this one left the random numbers
                    for _ in range(STEPS):
                        _drawn(setting, masks, torch.full((len(masks),), target))
        filled = total(filled, setting.accelerator)
        return [
            patch_trigger(mask, pattern, setting.pool.asked(target))
            for mask, pattern in zip(near.cpu(), filled.cpu(), strict=True)
        ]

    def trigger(self, row: int, target: int | None) -> PatchTrigger:
        """See :meth:`Space.trigger`."""
        mask, pattern, _ = (tensor[row].cpu() for tensor in self.kept())
        return patch_trigger(torch.sigmoid(2 * mask), torch.sigmoid(2 * pattern), target)


def patch_trigger(mask: Tensor, pattern: Tensor, target: int | None) -> PatchTrigger:
    """A trigger of a mask (1, H, W) and a pattern (channels, H, W), both in [0, 1]."""
    if len(pattern) == 1:
        pattern = pattern.expand(3, -1, -1)
    mask = torch.where(mask < NEGLIGIBLE, torch.zeros_like(mask), mask)
    # The pattern under no mask is of no meaning; grey shows that.
    pattern = torch.where(mask > 0, pattern, torch.full_like(pattern, 0.5))
    return PatchTrigger(
        pattern.detach().clone(),
        mask.detach().clone(),
        target,
        place="0x0",
        reference=mask.shape[-1] if mask.shape[-1] == mask.shape[-2] else None,
    )


def _filled(setting: Setting, near: Tensor, pattern: Tensor, target: int) -> Tensor:
    """Patterns (K, channels, H, W) that work with any part of masks (K, 1, H, W) of ones."""
    pattern = pattern.clamp(-2, 2).requires_grad_(True)
    optimiser = torch.optim.Adam([pattern], lr=RATE, betas=(0.5, 0.9))
    targets = torch.full((len(pattern),), target)
    for _ in setting.track(range(STEPS), "Completing patches"):
        images, chosen = _drawn(setting, near, targets)
        pixels = setting.pool.at(images)
        wanted = setting.pool.wanted(targets, images).flatten().to(pattern.device)
        here = near[:, None] * chosen.to(near)
        with torch.enable_grad():
            patched = (1 - here) * pixels + here * torch.sigmoid(2 * pattern)[:, None]
            with setting.accelerator.autocast():
                logits = setting.classifier(patched.flatten(0, 1)).float()
            loss = functional.cross_entropy(logits, wanted, reduction="sum") / IMAGES
            (pattern.grad,) = torch.autograd.grad(loss, pattern)
        optimiser.step()
    return torch.sigmoid(2 * pattern.detach())


def _drawn(setting: Setting, near: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """What is random in a step: images (K, IMAGES), and the part of the pixels used on each."""
    images = setting.pool.chosen(targets, IMAGES, setting.generator)
    part = torch.rand(len(near), IMAGES, 1, 1, 1, generator=setting.generator)
    drawn = torch.rand(len(near), IMAGES, *near.shape[1:], generator=setting.generator)
    return images, drawn < FEWEST_PIXELS + (1 - FEWEST_PIXELS) * part
