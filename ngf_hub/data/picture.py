"""Decoding one picture safely, and bringing it to the channels that a model reads."""

from __future__ import annotations

import functools
import hashlib
import io
import threading
import warnings
from typing import TYPE_CHECKING

from ngf_hub.errors import DataError
from ngf_hub.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image

# No EPS, which would start Ghostscript, and no FITS, which may be compressed without bound.
_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "TGA", "TIFF"),
    "WEBP",
)
_ORIENTATION = 0x0112  # the EXIF tag
_opening = threading.Lock()


@functools.cache
def known_formats() -> tuple[str, ...]:
    """The names of the formats that are read, as far as this Pillow has them."""
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def open_picture(data: bytes, where: str) -> Image:
    """The header of an encoded picture; its pixels are decoded when they are needed.

    Args:
        data: PNG, JPEG or another of :func:`known_formats`.
        where: Names the picture in errors, such as ``row 3 of split train``.

    Raises:
        DataError: It is no picture, or one of so many pixels that decoding it
            would exhaust memory (Pillow's own limit).
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # Pillow only warns from its limit up to twice of it; below, that is an error too.
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=known_formats())
    except Image.DecompressionBombError as error:
        raise _bomb(where) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise _unreadable(where, error) from error
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise _bomb(where)
    return image


def decode(data: bytes, where: str) -> Image:
    """The whole picture, turned upright where its EXIF data says so.

    Raises:
        DataError: See :func:`open_picture`; or it is cut short or corrupt.
    """
    from PIL import Image, ImageOps

    image = open_picture(data, where)
    try:
        image.load()
        if image.getexif().get(_ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        raise _bomb(where) from error
    except Exception as error:  # Pillow's plugins raise many kinds on corrupt data
        raise _unreadable(where, error) from error
    return image


def _bomb(where: str) -> DataError:
    return DataError(
        f"The image at {where} has too many pixels to be decoded safely.",
        "Remove it from the dataset, or make it smaller.",
    )


def _unreadable(where: str, error: Exception) -> DataError:
    from PIL import UnidentifiedImageError

    # Pillow's own text for this case is the address of a buffer.
    unknown = isinstance(error, UnidentifiedImageError)
    reason = "it is in no known image format" if unknown else plain(error)
    return DataError(
        f"The image at {where} cannot be decoded: {reason or type(error).__name__}.",
        "Remove or replace that row.",
    )


def in_channels(image: Image, channels: int) -> Image:
    """A picture in 8-bit colour (RGB) or grey (L); transparency is dropped.

    16-bit grey keeps its upper 8 bits, and floating-point grey is read as
    [0, 1], where Pillow's own conversion would clip both to white or black.

    Args:
        image: A picture in any mode.
        channels: 3 for colour, 1 for grey.

    Raises:
        DataError: Another number of channels.
    """
    if channels not in (1, 3):
        raise DataError(f"Images have 1 or 3 channels, and the model takes {channels}.")
    wanted = "RGB" if channels == 3 else "L"
    if image.mode == wanted:
        return image
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(wanted)


def _eight_bits(image: Image) -> Image:
    """Grey in 8 bits of grey in 16 or 32 bits, or in floating point."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    if image.mode == "F":
        top = float(values.max(initial=0.0))
        values = values * 255 if top <= 1 else values
    elif image.mode.startswith("I;16") or values.max(initial=0) > 255:
        values = values // 256
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def pixel_hash(image: Image) -> bytes:
    """A hash of size and decoded pixels, the same however the picture was encoded."""
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    digest.update(in_channels(image, 3).tobytes())
    return digest.digest()
