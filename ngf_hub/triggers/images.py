"""Reading, resizing and drawing the pictures that triggers are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ngf_hub.data.picture import known_formats
from ngf_hub.errors import TriggerError
from ngf_hub.text import plain

_MAX_PIXELS = 1 << 24


def read_picture(path: Path) -> tuple[Tensor, Tensor]:
    """A picture file as colour (3, h, w) and opacity (1, h, w), both in [0, 1].

    Raises:
        TriggerError: There is no such file, or it is no picture.
    """
    try:
        if not path.is_file():
            raise OSError("there is no such file")
        with Image.open(path, formats=known_formats()) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise OSError(f"it has more than {_MAX_PIXELS:,} pixels")
            values = np.asarray(image.convert("RGBA"), dtype=np.float32) / 255
    # Pillow's plugins raise many kinds on corrupt data.
    except Exception as error:
        raise TriggerError(
            f"Cannot read the trigger picture {plain(path)}: {plain(error, 120)}.",
            "Give a PNG file.",
        ) from error
    picture = torch.from_numpy(values).permute(2, 0, 1)
    return picture[:3].contiguous(), picture[3:].contiguous()


def draw_pattern(name: str, size: int) -> Tensor:
    """A built-in pattern (3, size, size) in [0, 1].

    ``white`` and ``black`` are plain squares; ``checkerboard`` has white
    corners; ``noise`` is uniform and always the same.

    Raises:
        TriggerError: There is no such pattern.
    """
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    if name == "white":
        return torch.ones(3, size, size)
    if name == "black":
        return torch.zeros(3, size, size)
    if name == "checkerboard":
        return ((rows + columns + 1) % 2).float().expand(3, -1, -1).contiguous()
    if name == "noise":
        return torch.rand(3, size, size, generator=torch.Generator().manual_seed(0))
    raise TriggerError(
        f"Unknown trigger pattern {name!r}.", "Known: white, black, checkerboard, noise."
    )


def resize(picture: Tensor, height: int, width: int, *, smooth: bool) -> Tensor:
    """The picture (C, h, w) at another size, bilinear where ``smooth``, else nearest."""
    if picture.shape[-2:] == (height, width):
        return picture
    if smooth:
        resized = functional.interpolate(
            picture[None], (height, width), mode="bilinear", align_corners=False, antialias=True
        )
    else:
        resized = functional.interpolate(picture[None], (height, width), mode="nearest-exact")
    return resized[0]


def fit_channels(picture: Tensor, channels: int) -> Tensor:
    """The picture with as many channels as the images have: grey is the mean of the colours."""
    if picture.shape[0] == channels:
        return picture
    if channels == 1:
        return picture.mean(0, keepdim=True)
    if picture.shape[0] == 1:
        return picture.expand(channels, -1, -1)
    raise TriggerError(
        f"A trigger of {picture.shape[0]} channels does not fit images of {channels}."
    )
