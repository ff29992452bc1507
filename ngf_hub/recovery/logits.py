"""Logits of changed images, and the margins in them."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

from ngf_hub.adapters import Classifier
from ngf_hub.errors import ModelError


def finite_logits(
    classifier: Classifier, pixels: Tensor, accelerator: Accelerator, images: str
) -> Tensor:
    """Logits (N, K), float32, of images (N, channels, H, W) in [0, 1].

    Args:
        classifier: The model.
        pixels: The images, on its device.
        accelerator: Precision of the pass.
        images: What they are, for the error.

    Raises:
        ModelError: Logits are not finite.
    """
    with accelerator.autocast():
        logits: Tensor = classifier(pixels).float()
    if not torch.isfinite(logits).all():
        raise ModelError(
            f"The model's logits are not finite on {images}.",
            "Check the weights for NaN and infinity.",
        )
    return logits


def margins_of(logits: Tensor) -> Tensor:
    """Each class's logit minus the largest of the others' (N, K)."""
    if logits.shape[1] == 1:
        return torch.zeros_like(logits)
    top = logits.topk(2, 1)
    largest, second = top.values[:, :1], top.values[:, 1:]
    margins: Tensor = (logits - largest).scatter(1, top.indices[:, :1], largest - second)
    return margins
