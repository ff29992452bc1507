"""An image processor of transformers, taken apart into its two halves.

The pixel half is the processor itself with everything after resizing and
cropping switched off. The other half is not read from the config, of which
there are as many readings as processors (offsets, flipped channels, a second
division by std): it is measured. It is affine in each pixel's colour, so that
the processor's answers to images of one colour each give it exactly, and an
image of noise then checks both halves together.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ngf_hub.adapters.preprocessing import (
    MAX_SIDE,
    ChannelNormalise,
    ChannelOrder,
    ColourClusters,
    Patches,
    Preprocessing,
    checked_size,
)
from ngf_hub.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image

# What comes after resizing and cropping in one processor or another.
_AFTER_CROPPING = (
    "do_rescale",
    "do_normalize",
    "do_flip_channel_order",
    "do_color_quantize",
    "include_top",
    "rescale_offset",
)
# Of the check: a hundredth of the distance between black and white.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class ProcessorPixels:
    """The pixel half: a PIL image to uint8 pixels (channels, H, W).

    Attributes:
        processor: The image processor.
        channels: 1 or 3.
        square: Crop to the central square first, for a processor that keeps
            the aspect ratio and so gives images of many sizes.
        side: Resize that square to this side, for one that does not resize.
        order: Puts channels back that the processor reorders whatever is asked.
    """

    processor: Any
    channels: int
    square: bool = False
    side: int | None = None
    order: tuple[int, ...] | None = None

    def __call__(self, image: Image) -> Tensor:
        """The pixels of an image."""
        switched_off = dict.fromkeys(self._switches(), False)
        pixels = self.answer(image, **switched_off)
        if pixels.is_floating_point():
            pixels = pixels.round().clamp(0, 255)
        if self.order is not None:
            pixels = pixels[list(self.order)]
        return pixels.to(torch.uint8)

    def answer(self, image: Image, **options: bool) -> Tensor:
        """What the processor makes of an image, patches put together again: (channels, H, W)."""
        output = self.processor(self._prepared(image), return_tensors="pt", **options)
        values: Tensor = output["pixel_values"][0]
        if "spatial_shapes" not in output:
            return values
        rows, columns = (int(n) for n in output["spatial_shapes"][0])
        side = int(self.processor.patch_size)
        patches = values[: rows * columns].reshape(rows, columns, side, side, -1)
        return patches.permute(4, 0, 2, 1, 3).reshape(-1, rows * side, columns * side)

    def complete(self, image: Image) -> Tensor:
        """The processor's full answer, short of colour clusters."""
        return self.answer(image, **dict.fromkeys(self._switches() & {"do_color_quantize"}, False))

    def indices(self, image: Image) -> Tensor:
        """The colour clusters of an image, of a processor that gives them."""
        found: Tensor = self.processor(self._prepared(image), return_tensors="pt")["input_ids"]
        return found.flatten(1)

    def _switches(self) -> set[str]:
        known = getattr(self.processor, "_valid_kwargs_names", None)
        if known is None:  # a processor of the repository's own code
            known = inspect.signature(self.processor.preprocess).parameters
        return set(_AFTER_CROPPING) & set(known)

    def _prepared(self, image: Image) -> Image:
        image = image.convert("L" if self.channels == 1 else "RGB")
        if self.square:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if self.side is not None:
            image = image.resize((self.side, self.side))
        return image


def split_processor(
    processor: Any, channels: int, image_size: int | None
) -> tuple[Preprocessing, list[str]]:
    """The halves of an image processor, and what a reader should know of them.

    Args:
        processor: The model's own.
        channels: Of the network's input, 1 or 3.
        image_size: The side that the model's config states, used only for a
            processor that does not resize.

    Raises:
        ModelError: It does more than resize, crop, and change colours.
    """
    name = type(processor).__name__
    if channels not in (1, 3):
        raise ModelError(
            f"The model takes images of {channels} channels.",
            "Only grey (1) and colour (3) images can be handled.",
        )
    _check_sizes(processor)
    pixels, notes = _with_fixed_size(ProcessorPixels(processor, channels), image_size)
    pixels = _with_order(pixels)
    size = _size(pixels, (64, 64))
    normalise, shown = _colour_map(pixels, size)
    stages = [normalise]
    clusters = getattr(processor, "clusters", None)
    if clusters is not None and getattr(processor, "do_color_quantize", False):
        stages.append(ColourClusters(torch.as_tensor(clusters, dtype=torch.float32)))
        notes.append("the network sees colour clusters: no gradient reaches the pixels")
    noise = _noise(channels, (size[0] + 37, size[1] + 11))
    mine, theirs = normalise(pixels(noise)[None] / 255)[0], pixels.complete(noise)
    unit = 1 / torch.tensor(shown["std"]).abs()
    if mine.shape != theirs.shape or ((mine - theirs).abs().amax((1, 2)) > TOLERANCE * unit).any():
        raise ModelError(
            f"{name} does more than resize, crop and normalise.",
            "Give size, mean and std instead of its processor.",
        )
    if "pixel_attention_mask" in getattr(processor, "model_input_names", ()):
        side = int(processor.patch_size)
        stages.append(Patches(side, (size[0] // side, size[1] // side)))
    whole = stages[0] if len(stages) == 1 else nn.Sequential(*stages)
    config = {"size": list(size), **shown, "processor": name, **_described(processor)}
    return Preprocessing(size, pixels, whole, channels, config), notes


def _check_sizes(processor: Any) -> None:
    """Refuse sizes of which one image would fill the memory."""
    settings = json.loads(processor.to_json_string())
    for key in ("size", "crop_size", "pad_size", "max_num_patches"):
        stated = settings.get(key)
        for side in stated.values() if isinstance(stated, dict) else (stated,):
            if isinstance(side, int | float) and side > MAX_SIDE:
                checked_size([side, side])


def _size(pixels: ProcessorPixels, size: tuple[int, int]) -> tuple[int, int]:
    height, width = pixels(_solid(pixels.channels, 0, size)).shape[-2:]
    return height, width


def _with_fixed_size(
    pixels: ProcessorPixels, image_size: int | None
) -> tuple[ProcessorPixels, list[str]]:
    """The pixel half made to give one size, whatever the image's is."""
    shapes = ((64, 64), (180, 90), (90, 180), (300, 300))
    if len({_size(pixels, shape) for shape in shapes}) == 1:
        return pixels, []
    name = type(pixels.processor).__name__
    pixels = replace(pixels, square=True)
    if len({_size(pixels, shape) for shape in shapes}) == 1:
        return pixels, [
            f"{name} keeps aspect ratios: images are cropped to their central square first, "
            "so that all have one size"
        ]
    if image_size is None:
        raise ModelError(f"{name} does not say the size of the input.", "Give size=...")
    return replace(pixels, side=image_size), [
        f"{name} does not resize: images are resized to {image_size} x {image_size}"
    ]


def _with_order(pixels: ProcessorPixels) -> ProcessorPixels:
    """The pixel half made to give RGB, where the processor flips channels in any case."""
    if pixels.channels == 1:
        return pixels
    seen = [
        int(pixels(_solid(3, channel, (64, 64))).float().mean((1, 2)).argmax())
        for channel in (1, 2, 3)
    ]
    return pixels if seen == [0, 1, 2] else replace(pixels, order=tuple(seen))


def _colour_map(
    pixels: ProcessorPixels, size: tuple[int, int]
) -> tuple[nn.Module, dict[str, list[float]]]:
    """The normalising half, from the processor's answers to single colours."""
    channels = pixels.channels

    def answer(colour: int) -> Tensor:
        centre = pixels.complete(_solid(channels, colour, size)).double()
        return centre[:, centre.shape[1] // 2, centre.shape[2] // 2]

    shift = answer(0)
    scales = torch.stack([answer(colour) - shift for colour in range(1, channels + 1)], dim=1)
    order = scales.abs().argmax(1)
    slope = scales.gather(1, order[:, None])[:, 0]
    rest = scales.scatter(1, order[:, None], 0.0)
    if (
        sorted(order.tolist()) != list(range(channels))
        or not ((slope.abs() > 0) & (rest.abs() < 1e-5 * slope.abs()[:, None]).all(1)).all()
    ):
        raise ModelError(
            f"{type(pixels.processor).__name__} mixes colour channels.",
            "Give size, mean and std instead of its processor.",
        )
    mean, std = (-shift / slope).tolist(), (1 / slope).tolist()
    normalise: nn.Module = ChannelNormalise(mean, std)
    if order.tolist() != list(range(channels)):
        normalise = nn.Sequential(ChannelOrder(order.tolist()), normalise)
    shown = {"mean": [round(m, 6) + 0.0 for m in mean], "std": [round(s, 6) for s in std]}
    return normalise, shown


def _solid(channels: int, colour: int, size: tuple[int, int]) -> Image:
    """An image of one colour: black (0), or one channel full and the others not."""
    from PIL import Image as pil

    height, width = size
    if channels == 1:
        return pil.new("L", (width, height), 255 * colour)
    parts = [255 if colour == channel else 0 for channel in (1, 2, 3)]
    return pil.new("RGB", (width, height), (parts[0], parts[1], parts[2]))


def _noise(channels: int, size: tuple[int, int]) -> Image:
    from PIL import Image as pil

    generator = torch.Generator().manual_seed(0)
    shape = size if channels == 1 else (*size, channels)
    values = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return pil.fromarray(values.numpy())


def _described(processor: Any) -> dict[str, Any]:
    """What the report states of the processor's own settings."""
    keys = ("resample", "do_resize", "do_center_crop", "crop_size", "crop_pct")
    settings = json.loads(processor.to_json_string())
    return {key: settings[key] for key in keys if settings.get(key) is not None}
