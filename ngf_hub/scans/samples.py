"""What a recovered trigger does to images: a few of them, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ngf_hub.errors import TriggerError

if TYPE_CHECKING:
    from ngf_hub.evidence.base import Case
    from ngf_hub.triggers import Trigger

SHOWN = 6
# So many are looked through for images of other classes than the target.
LOOKED_AT = 64


@dataclass
class Samples:
    """Images with and without a trigger.

    Attributes:
        clean: Pixels (k, channels, H, W) in [0, 1].
        triggered: The same images with the trigger.
        predictions: The class (k,) that the model sees in each triggered image.
        class_names: The model's classes, if they have names.
    """

    clean: Tensor
    triggered: Tensor
    predictions: list[int]
    class_names: list[str] | None = None


@torch.inference_mode()
def triggered_samples(case: Case, trigger: Trigger) -> Samples | None:
    """A few images that the model did not see the target in, as different in class as can be.

    ``None`` without images, or where it sees the target in all of them.
    """
    if case.images is None:
        return None
    some = range(min(LOOKED_AT, len(case.images)))
    clean, predicted = [], []
    for pixels, _, _ in case.images.batches(case.batch_size, case.classifier.device, some):
        clean.append(pixels)
        predicted.append(case.classifier(pixels).argmax(1))
    classes = torch.cat(predicted)
    order = _one_of_each_first(classes.tolist())
    chosen = [index for index in order if int(classes[index]) != trigger.target][:SHOWN]
    if not chosen:
        return None
    before = torch.cat(clean)[chosen]
    try:
        after = trigger.apply(before)
    except TriggerError:
        return None
    seen = case.classifier(after).argmax(1)
    return Samples(before.cpu(), after.cpu(), seen.tolist(), case.classifier.class_names)


def _one_of_each_first(classes: list[int]) -> list[int]:
    """Indices in order, those first whose class did not occur before."""
    seen: set[int] = set()
    first: list[int] = []
    rest: list[int] = []
    for index, label in enumerate(classes):
        (rest if label in seen else first).append(index)
        seen.add(label)
    return first + rest
