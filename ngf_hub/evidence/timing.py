"""How long a model takes for an image, before anything long is begun."""

from __future__ import annotations

import time

import torch

from ngf_hub.evidence.base import Case

PASSES = 3
"""The fastest counts: the first one allocates, and any may be held up by other work."""


def seconds_an_image(case: Case, most: int, *, backward: bool) -> float:
    """Seconds that an image takes in a batch, of this model on this machine.

    Args:
        case: The model, precision and batch size.
        most: Images a batch, at most.
        backward: Whether gradients go back to the pixels, too.
    """
    classifier, count = case.classifier, min(most, case.batch_size)
    seconds = []
    with torch.set_grad_enabled(backward), case.accelerator.autocast():
        for _ in range(PASSES):
            pixels = classifier.example_pixels(count).requires_grad_(backward)
            start = time.perf_counter()
            logits = classifier(pixels)
            if backward:
                # As in a search, nothing is computed for the weights.
                torch.autograd.grad(logits.logsumexp(1).sum(), pixels)
            if classifier.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return min(seconds) / count
