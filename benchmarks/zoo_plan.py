"""Which models the zoo holds: data, architecture, attack, target and seed of each.

A third each are clean models for calibration, clean models to judge by, and
backdoored models to judge by, so ordered that every beginning is balanced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ngf_hub.triggers import Trigger
from ngf_hub.triggers.additive import AdditiveTrigger
from ngf_hub.triggers.blend import BlendTrigger
from ngf_hub.triggers.images import draw_pattern
from ngf_hub.triggers.patch import PatchTrigger
from ngf_hub.triggers.sig import SigTrigger
from ngf_hub.triggers.warp import WarpTrigger, control_grid

CLASSES = {"cifar10": 10, "gtsrb": 43, "digits": 10}
POISON_RATES = {
    "patch": 0.05,
    "patch-all-to-all": 0.3,
    "blend": 0.1,
    "sig": 0.08,
    "additive": 0.12,
    "warp": 0.15,
}

# Ten a row; the last two slots change from row to row.
ATTACKS = (
    *("patch", "blend", "sig", "patch", "warp", "additive", "patch", "blend", "sig", "warp"),
    *("patch", "blend", "sig", "patch", "warp", "additive", "patch", "blend", "additive"),
    "patch-all-to-all",
    *("patch", "blend", "sig", "patch", "warp", "additive", "patch", "blend"),
    *("patch-all-to-all", "additive"),
)
# The other slots are CIFAR-10. So chosen that attacks and architectures mix on GTSRB too.
GTSRB_SLOTS = (3, 5, 8, 14, 16, 19, 21)
# A shuffle that mixes architectures, attacks and data well. Transformer and ConvNeXt
# take three times as long as the others, so there are fewer.
ARCHITECTURES = (
    *("wrn", "wrn", "allconv", "vgg", "vgg", "allconv", "vit", "resnet", "resnet", "vgg"),
    *("wrn", "vgg", "convnext", "wrn", "resnet", "convnext", "vgg", "resnet", "vit", "wrn"),
    *("allconv", "allconv", "allconv", "resnet", "wrn", "vgg", "resnet", "allconv", "vgg", "wrn"),
)


@dataclass(frozen=True)
class Recipe:
    """One model of the zoo.

    Attributes:
        name: Its folder.
        role: ``calibration`` or ``judge``.
        data: ``cifar10`` or ``gtsrb``.
        architecture: A key of :data:`benchmarks.zoo_networks.NETWORKS`.
        attack: A key of :data:`POISON_RATES`, or ``None`` for a clean model.
        target: The target class of an all-to-one attack.
        seed: Of weights, order, poisoned images and trigger.
    """

    name: str
    role: str
    data: str
    architecture: str
    attack: str | None
    target: int | None
    seed: int


def plan(slots: int = 30) -> list[Recipe]:
    """The first ``slots`` models (at most 30) of each group, in the order of training."""
    recipes = []
    for slot in range(slots):
        data = "gtsrb" if slot in GTSRB_SLOTS else "cifar10"
        architecture, attack = ARCHITECTURES[slot], ATTACKS[slot]
        groups = (
            ("calibration", None, 1000 + slot),
            ("judge", None, 2000 + slot),
            ("judge", attack, 3000 + slot),
        )
        for role, kind, seed in groups:
            one_target = kind is not None and kind != "patch-all-to-all"
            recipes.append(
                Recipe(
                    name=f"{role}-{kind or 'clean'}-{slot:02d}-{data}-{architecture}",
                    role=role,
                    data=data,
                    architecture=architecture,
                    attack=kind,
                    target=(7 * slot + 3) % CLASSES[data] if one_target else None,
                    seed=seed,
                )
            )
    return recipes


def draw_trigger(attack: str, target: int | None, seed: int) -> Trigger:
    """A trigger for 32x32 images whose look, place and strength follow from the seed."""
    generator = torch.Generator().manual_seed(seed)

    def number(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    if attack.startswith("patch"):
        return _patch(whole, generator, target)
    if attack == "blend":
        side = (4, 8, 32)[whole(0, 2)]
        picture = torch.rand(3, side, side, generator=generator)
        return BlendTrigger(_upsampled(picture).clamp(0, 1), round(number(0.12, 0.2), 3), target)
    if attack == "sig":
        return SigTrigger(round(number(24, 40)) / 255, (6, 4, 8)[whole(0, 2)], target)
    if attack == "additive":
        side = (4, 8, 16)[whole(0, 2)]
        wave = _upsampled(torch.randn(3, side, side, generator=generator))
        # Half of its pixels lie on the bound, as a perturbation that was optimised has it.
        wave = (wave / wave.abs().median()).clamp(-1, 1)
        return AdditiveTrigger(wave * 12 / 255, 1.0, target)
    return WarpTrigger(control_grid(4, seed), round(number(1.5, 2.5), 2), target)


def _patch(
    whole: Callable[[int, int], int], generator: torch.Generator, target: int | None
) -> PatchTrigger:
    look = ("white", "checkerboard", "coloured")[whole(0, 2)]
    side = whole(3, 5) if look == "coloured" else whole(3, 4)
    if look == "coloured":
        pattern = torch.rand(3, side, side, generator=generator).round()
    else:
        pattern = draw_pattern(look, side)
    corner = 32 - side - whole(0, 1)
    place = f"{corner}x{corner}" if whole(0, 2) == 0 else f"{whole(2, 27)}x{whole(2, 27)}"
    return PatchTrigger(pattern, torch.ones(1, side, side), target, place=place)


def _upsampled(picture: Tensor) -> Tensor:
    return functional.interpolate(picture[None], (32, 32), mode="bicubic", align_corners=True)[0]
