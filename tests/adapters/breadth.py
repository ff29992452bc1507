"""What must hold for a model of any architecture."""

from __future__ import annotations

import torch

from .networks import randomise

TOLERANCE = 1e-4


def check(classifier, classes: int) -> None:
    """Head and layers are found, and the features times the head are the logits."""
    randomise(classifier.network)
    head = classifier.head
    pixels = classifier.example_pixels(2)
    with torch.no_grad():
        features, logits = head.features_and_logits(classifier, pixels)
    assert logits.shape == (2, classes)
    assert head.matrix().shape == (classes, head.width)
    assert features.shape == (2, head.width)
    scale = logits.abs().max()
    # Logits that are all zero, or features, would show nothing.
    assert scale > 1e-3
    assert features[:, :-1].abs().max() > 0
    assert (features @ head.matrix().T - logits).abs().max() <= TOLERANCE * scale
    layers = classifier.layers
    assert layers
    assert [layer.depth for layer in layers] == list(range(len(layers)))
    found = [layer.name for layer in layers if layer.is_head]
    assert sorted(found) == sorted(head.names)
    assert classifier.select_layers("head") == [layer for layer in layers if layer.is_head]
    # Everything else that can be tuned runs before the head is done.
    assert layers[-1].is_head
