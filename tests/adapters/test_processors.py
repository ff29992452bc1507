"""Both halves of every image processor together are the processor."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

from ngf_hub.adapters.processors import split_processor
from ngf_hub.errors import ModelError

# Not taken through here: the timm adapter has timm's own transform, and the
# model of the other is no image classifier.
ELSEWHERE = {"TimmWrapperImageProcessor", "Gemma3ImageProcessor", "Gemma3ImageProcessorPil"}
CLUSTERS = torch.rand(16, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1


def class_names():
    """Every processor of an image classification architecture, of both backends."""
    found = set()
    for kind in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES:
        found |= set((IMAGE_PROCESSOR_MAPPING_NAMES.get(kind) or {}).values())
    return sorted(found - ELSEWHERE)


def photograph(width, height, mode="RGB"):
    """Smooth colours with some noise, so that resizing matters and is well defined."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 9 + k) + np.cos(y / 7 - k) for k in range(3)]
    values = 127 + 50 * np.stack(waves, -1) + rng.normal(0, 8, (height, width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert(mode)


def complete(processor, image) -> Tensor:
    return processor(image, return_tensors="pt")


OPTIONS = {
    "DonutImageProcessor": {"size": {"height": 96, "width": 64}},
    "DonutImageProcessorPil": {"size": {"height": 96, "width": 64}},
    "ImageGPTImageProcessor": {"clusters": CLUSTERS, "size": {"height": 12, "width": 12}},
    "ImageGPTImageProcessorPil": {
        "clusters": CLUSTERS.tolist(),
        "size": {"height": 12, "width": 12},
    },
}


def make(name, **options):
    return getattr(transformers, name)(**{**OPTIONS.get(name, {}), **options})


@pytest.mark.parametrize("name", class_names())
def test_halves_are_the_processor(name):
    processor = make(name)
    preprocessing, notes = split_processor(processor, 3, None)
    squares = any("square" in note for note in notes)
    for size in ((150, 110), (90, 200), (64, 64)):
        image = photograph(*((min(size),) * 2 if squares else size))
        pixels = preprocessing.to_pixels(image)
        assert pixels.dtype is torch.uint8
        assert tuple(pixels.shape) == (3, *preprocessing.size)
        mine = preprocessing.normalise(pixels[None].float() / 255)[0]
        output = complete(processor, image)
        if "input_ids" in output:
            theirs = output["input_ids"].flatten()
            assert (mine == theirs).float().mean() > 0.99  # a tie may fall either way
            continue
        theirs = output["pixel_values"][0]
        assert theirs.std() > 0.05
        # Per colour: a step of one grey level, in the units of the network's input.
        step = (
            (
                preprocessing.normalise(torch.full((1, 3, *preprocessing.size), 1 / 255))
                - preprocessing.normalise(torch.zeros(1, 3, *preprocessing.size))
            )
            .abs()
            .max()
        )
        assert (mine - theirs[: len(mine)]).abs().max() < 0.5 * step


@pytest.mark.parametrize("name", class_names())
def test_pixels_are_red_where_the_image_is(name):
    preprocessing, _ = split_processor(make(name), 3, None)
    pixels = preprocessing.to_pixels(Image.new("RGB", (80, 80), (250, 120, 10)))
    height, width = preprocessing.size
    assert pixels[:, height // 2, width // 2].tolist() == [250, 120, 10]


SETTINGS = {
    "offset to [-1, 1]": (
        "EfficientNetImageProcessor",
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False},
    ),
    "without a second division": ("EfficientNetImageProcessor", {"include_top": False}),
    "neither rescaled nor normalised": (
        "ViTImageProcessor",
        {"do_rescale": False, "do_normalize": False},
    ),
    "normalised without rescaling": ("ViTImageProcessor", {"do_rescale": False}),
    "not flipped": ("MobileViTImageProcessor", {"do_flip_channel_order": False}),
    "resized by another rule": (
        "ConvNextImageProcessor",
        {"size": {"shortest_edge": 40}, "crop_pct": 0.5},
    ),
    "odd values": (
        "ViTImageProcessor",
        {
            "image_mean": [0.1, 0.9, 0.5],
            "image_std": [0.01, 1.5, 0.3],
            "size": {"height": 20, "width": 30},
        },
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_of_processors(case):
    name, options = SETTINGS[case]
    processor = make(name, **options)
    preprocessing, _ = split_processor(processor, 3, None)
    image = photograph(120, 90)
    mine = preprocessing.normalise(preprocessing.to_pixels(image)[None].float() / 255)[0]
    theirs = complete(processor, image)["pixel_values"][0].float()
    scale = (theirs.max() - theirs.min()).item()
    torch.testing.assert_close(mine, theirs, atol=1e-4 * scale, rtol=1e-4)


def test_grey_images():
    processor = make(
        "ViTImageProcessor", image_mean=[0.3], image_std=[0.2], size={"height": 16, "width": 16}
    )
    preprocessing, _ = split_processor(processor, 1, None)
    image = photograph(40, 40, "L")
    assert preprocessing.channels == 1
    pixels = preprocessing.to_pixels(image)
    assert pixels.shape == (1, 16, 16)
    mine = preprocessing.normalise(pixels[None].float() / 255)[0]
    torch.testing.assert_close(mine, complete(processor, image)["pixel_values"][0])
    assert torch.equal(preprocessing.to_pixels(image.convert("RGB")), pixels)


def test_the_report_states_mean_and_std_per_pixel_value():
    shown = split_processor(make("MobileViTImageProcessor"), 3, None)[0].config
    assert shown["mean"] == [0.0, 0.0, 0.0]
    assert shown["std"] == [1.0, 1.0, 1.0]
    assert shown["size"] == [256, 256]
    assert shown["processor"] == "MobileViTImageProcessor"
    shown = split_processor(make("EfficientNetImageProcessor"), 3, None)[0].config
    assert shown["mean"] == [0.5, 0.5, 0.5]
    assert shown["std"] == [0.25, 0.25, 0.25]


def test_images_of_one_size_from_a_processor_that_keeps_aspect_ratios():
    preprocessing, notes = split_processor(make("TextNetImageProcessor"), 3, None)
    assert "square" in notes[0]
    assert preprocessing.to_pixels(photograph(50, 120)).shape == (3, 640, 640)


def test_a_processor_that_does_not_resize_takes_the_size_of_the_config():
    processor = make("ViTImageProcessor", do_resize=False)
    preprocessing, notes = split_processor(processor, 3, 24)
    assert "does not resize" in notes[0]
    assert preprocessing.to_pixels(photograph(50, 120)).shape == (3, 24, 24)
    with pytest.raises(ModelError, match="size"):
        split_processor(processor, 3, None)


class Equalising(transformers.ViTImageProcessor):
    """Does more than the two halves can hold."""

    def rescale_and_normalize(self, images, *args, **options):
        values = super().rescale_and_normalize(images, *args, **options)
        return values if values.dtype is torch.uint8 else values**3


class Mixing(transformers.ViTImageProcessor):
    """Adds green to red."""

    def rescale_and_normalize(self, images, *args, **options):
        values = super().rescale_and_normalize(images, *args, **options)
        return values if values.dtype is torch.uint8 else values + values.roll(1, 1)


@pytest.mark.parametrize(("kind", "word"), [(Equalising, "more than"), (Mixing, "mixes")])
def test_a_processor_that_cannot_be_split_is_refused(kind, word):
    assert issubclass(kind, BaseImageProcessor)
    with pytest.raises(ModelError, match=word):
        split_processor(kind(size={"height": 16, "width": 16}), 3, None)


def test_more_channels_than_colours_are_refused():
    with pytest.raises(ModelError, match="4 channels"):
        split_processor(make("ViTImageProcessor"), 4, None)
