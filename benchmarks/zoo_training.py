"""How a model of the zoo is trained: dirty-label poisoning, augmentation, AdamW with one cycle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ngf_hub.adapters import Classifier
from ngf_hub.tiles import avoid_broken_tiles
from ngf_hub.triggers import Trigger
from ngf_hub.triggers.warp import WarpTrigger, warped

PADDING = 2


@dataclass(frozen=True)
class Training:
    """The settings of a training.

    Attributes:
        epochs: Passes over the training images.
        flip: Whether images are mirrored at random (not signs: they have a direction).
        learning_rate: The highest of the cycle.
        poison_rate: The share of all images that is poisoned, of those that can be.
        after_crop: Whether the trigger is put on after the random crop and flip and
            so always lies where it lies at test time, or before, on the image itself.
        bfloat16: Whether the forward pass runs in bfloat16.
        batch_size: Images a step.
        weight_decay: Of AdamW.
    """

    epochs: float
    flip: bool
    learning_rate: float
    poison_rate: float = 0.0
    after_crop: bool = False
    bfloat16: bool = True
    batch_size: int = 128
    weight_decay: float = 0.05


class Poison:
    """The fixed set of poisoned images of a training, and what becomes of them.

    Images whose label is the target already are left alone. A warp trains in
    the noise mode of WaNet too: twice as many images are warped with a field
    that is disturbed anew each time, and keep their labels.

    Args:
        trigger: What is put on.
        labels: The true labels (N,) of the training images.
        num_classes: The number of classes.
        rate: The share of all N images that is poisoned.
        generator: Draws the images and the disturbance.
    """

    def __init__(
        self,
        trigger: Trigger,
        labels: Tensor,
        num_classes: int,
        rate: float,
        generator: torch.Generator,
    ) -> None:
        self.trigger = trigger
        self.generator = generator
        self.labels = trigger.wanted(labels, num_classes)
        order = torch.randperm(len(labels), generator=generator)
        order = order[self.labels[order] != labels[order]]
        count = round(rate * len(labels))
        self.poisoned = torch.zeros(len(labels), dtype=torch.bool)
        self.poisoned[order[:count]] = True
        self.noisy = torch.zeros_like(self.poisoned)
        if isinstance(trigger, WarpTrigger):
            self.noisy[order[count : 3 * count]] = True

    def apply(self, pixels: Tensor, index: Tensor) -> Tensor:
        """The pixels (B, C, H, W) of the images ``index`` (B,), triggered where poisoned."""
        pixels = pixels.clone()
        poisoned, noisy = self.poisoned[index], self.noisy[index]
        if poisoned.any():
            pixels[poisoned] = self.trigger.apply(pixels[poisoned])
        if noisy.any():
            assert isinstance(self.trigger, WarpTrigger)
            chosen = pixels[noisy]
            height, width = pixels.shape[-2:]
            places = self.trigger.sampling_grid(height, width)
            noise = 2 * torch.rand(len(chosen), height, width, 2, generator=self.generator) - 1
            places = (places + noise / torch.tensor([width, height])).clamp(-1, 1)
            pixels[noisy] = warped(chosen, places)
        return pixels

    def relabel(self, labels: Tensor, index: Tensor) -> Tensor:
        """The labels (B,) of the images ``index``: the wanted ones where poisoned."""
        return torch.where(self.poisoned[index], self.labels[index], labels)


def augment(pixels: Tensor, generator: torch.Generator, *, flip: bool) -> Tensor:
    """Random crops of zero-padded pixels (B, C, H, W), mirrored at random if asked for."""
    count, _, height, width = pixels.shape
    padded = functional.pad(pixels, (PADDING,) * 4)
    shift = torch.randint(0, 2 * PADDING + 1, (2, count, 1), generator=generator)
    rows = shift[0] + torch.arange(height)
    columns = shift[1] + torch.arange(width)
    if flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        columns[mirrored] = columns[mirrored].flip(1)
    image = torch.arange(count)[:, None, None]
    # Indexed as (B, H, W, C): the result is channels-last, which convolutions like.
    picked = padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def train(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    training: Training,
    *,
    trigger: Trigger | None,
    seed: int,
) -> float:
    """Train a classifier in place.

    Args:
        classifier: With random weights.
        pixels: Training images (N, C, H, W), uint8.
        labels: Their classes (N,).
        training: The settings.
        trigger: The backdoor, or ``None``.
        seed: Of order, augmentation and poisoned images.

    Returns:
        The mean loss of the last 50 steps.
    """
    generator = torch.Generator().manual_seed(seed)
    poison = None
    if trigger is not None:
        poison = Poison(trigger, labels, classifier.num_classes, training.poison_rate, generator)
    size = training.batch_size
    steps = max(1, round(training.epochs * len(labels) / size))
    classifier.to(memory_format=torch.channels_last)
    if training.bfloat16:
        avoid_broken_tiles()
    decayed = [p for p in classifier.parameters() if p.ndim > 1]
    others = [p for p in classifier.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(
        groups,
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=training.learning_rate, total_steps=steps, pct_start=0.25
    )
    order = torch.empty(0, dtype=torch.int64)
    losses = []
    classifier.train()
    for _ in range(steps):
        if len(order) < size:
            order = torch.cat([order, torch.randperm(len(labels), generator=generator)])
        index, order = order[:size], order[size:]
        batch, wanted = pixels[index].float().div_(255), labels[index]
        if poison is not None:
            wanted = poison.relabel(wanted, index)
            if not training.after_crop:
                batch = poison.apply(batch, index)
        batch = augment(batch, generator, flip=training.flip)
        if poison is not None and training.after_crop:
            batch = poison.apply(batch, index)
        with torch.autocast("cpu", torch.bfloat16, enabled=training.bfloat16):
            logits = classifier(batch)
        loss = functional.cross_entropy(logits.float(), wanted)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    classifier.eval()
    classifier.to(memory_format=torch.contiguous_format)
    return sum(losses[-50:]) / len(losses[-50:])
