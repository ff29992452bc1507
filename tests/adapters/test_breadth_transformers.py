"""Every architecture that transformers maps to image classification."""

import pytest
import torch
import transformers

from ngf_hub.adapters import load_model
from ngf_hub.errors import ModelError

from . import breadth
from .tiny_transformers import CLASSES, architectures, side, tiny_model

# Class: (what it raises, a word of it). The test shows that it is still so.
EXCEPTIONS = {
    "ShieldGemma2ForImageClassification": (ModelError, "written policy"),
    # The library natten has to be compiled for the GPU and PyTorch at hand.
    "DinatForImageClassification": (ImportError, "natten"),
}


def processor_of(kind, height):
    """The processor that the architecture is published with, for small images."""
    if kind == "imagegpt":
        clusters = torch.rand(16, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return transformers.ImageGPTImageProcessor(
            clusters=clusters, size={"height": height, "width": height}
        )
    if kind == "siglip2":
        return transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    return transformers.ViTImageProcessor(
        size={"height": height, "width": height}, image_mean=[0.4] * 3, image_std=[0.25] * 3
    )


@pytest.mark.parametrize(("kind", "name"), architectures())
def test_architecture(kind, name):
    if name in EXCEPTIONS:
        error, word = EXCEPTIONS[name]
        with pytest.raises(error, match=word), torch.device("meta"):
            load_model(tiny_model(kind, name), size=32)
        return
    classifier = load_model(tiny_model(kind, name), processor=processor_of(kind, side(kind)))
    assert classifier.family == ("timm" if kind == "timm_wrapper" else "transformers")
    breadth.check(classifier, CLASSES)


def test_no_exception_is_out_of_date():
    assert set(EXCEPTIONS) <= {name for _, name in architectures()}
