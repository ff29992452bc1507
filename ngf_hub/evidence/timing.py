"""How long a model takes for an image, before anything long is begun."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ngf_hub.evidence.base import Case

PASSES = 3
"""The fastest counts: the first one allocates, and any may be held up by other work."""


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of :data:`PASSES` times the same, which waits for its device."""
    seconds = []
    for _ in range(PASSES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def seconds_an_image(case: Case, most: int, *, backward: bool) -> float:
    """Seconds that an image takes in a batch, of this model on this machine; timed once a case.

    Args:
        case: The model, precision and batch size.
        most: Images a batch, at most.
        backward: Whether gradients go back to the pixels, too.
    """
    classifier, count = case.classifier, min(most, case.batch_size)
    pixels = classifier.example_pixels(count).requires_grad_(backward)

    def one_pass() -> None:
        logits = classifier(pixels)
        if backward:
            # As in a search, nothing is computed for the weights.
            torch.autograd.grad(logits.logsumexp(1).sum(), pixels)
        if classifier.device.type == "cuda":
            torch.cuda.synchronize()

    key = count, backward
    if key not in case.timed:
        with torch.set_grad_enabled(backward), case.accelerator.autocast():
            case.timed[key] = fastest(one_pass) / count
    return case.timed[key]
