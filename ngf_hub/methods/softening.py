"""A softmax at a higher temperature, for teacher, student and curvature alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ngf_hub.adapters import Classifier


@contextmanager
def softened(classifier: Classifier, temperature: float) -> Iterator[None]:
    """Divide the logits of a classifier by a temperature while the block runs.

    What a confident teacher says of an image is one number; softened, it says how alike
    the image is to every class (Hinton et al. 2015, arXiv 1503.02531), so that few images
    hold a student closer. The class said most stays the same, and the weights too.

    Args:
        classifier: The model.
        temperature: T > 0; 1 changes nothing.
    """
    if temperature == 1:
        yield
        return
    hook = classifier.register_forward_hook(lambda _, __, logits: logits / temperature)
    try:
        yield
    finally:
        hook.remove()
