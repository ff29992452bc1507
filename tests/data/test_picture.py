"""Pictures are decoded safely, and brought to the channels that a model reads."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from ngf_hub.data.picture import decode, in_channels, open_picture, pixel_hash
from ngf_hub.errors import DataError

from .pictures import encode, picture

WHERE = "row 7 of split train"


def png_of_size(width, height):
    """A PNG that claims a size and holds nothing."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_decoding():
    image = decode(encode(picture(5)), WHERE)
    assert image.tobytes() == picture(5).tobytes()


@pytest.mark.parametrize(
    "data", [b"", b"no image", encode(picture(1))[:60], encode(picture(1, 64), "JPEG")[:300]]
)
def test_corrupt_bytes_name_the_row(data):
    with pytest.raises(DataError, match=r"row 7 of split train cannot be decoded: .+\.") as caught:
        decode(data, WHERE)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("width", [12_000, 60_000])
def test_decompression_bombs_are_errors_not_warnings(width):
    # Pillow's limit is 89 million pixels; up to twice of it, Pillow only warns.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="row 7 of split train has too many pixels"):
            open_picture(png_of_size(width, 10_000), WHERE)


def test_exif_orientation_is_followed():
    data = encode(picture(3).resize((8, 4)), "JPEG", exif=rotated())
    assert Pillow.open(io.BytesIO(data)).size == (8, 4)
    assert decode(data, WHERE).size == (4, 8)


def rotated():
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "LA", "CMYK", "1", "YCbCr", "HSV"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_8_bit_colour_or_grey(mode, channels):
    source = picture(4).convert("L").convert(mode) if mode == "LA" else picture(4).convert(mode)
    image = in_channels(source, channels)
    assert image.mode == {1: "L", 3: "RGB"}[channels]
    assert image.size == source.size


def test_palette_with_transparency():
    source = picture(4).convert("P")
    source.info["transparency"] = b"\x00" * 256
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert in_channels(source, 3).mode == "RGB"


def test_deep_grey_keeps_its_levels():
    deep = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    expected = [0, 1, 128, 255]
    assert list(in_channels(Pillow.fromarray(deep), 1).tobytes()) == expected
    assert list(in_channels(Pillow.fromarray(deep.astype(np.int32)), 1).tobytes()) == expected
    stored = decode(encode(Pillow.fromarray(deep)), WHERE)
    assert list(in_channels(stored, 3).convert("L").tobytes()) == expected
    floats = np.array([[0, 0.25, 1]], dtype=np.float32)
    assert list(in_channels(Pillow.fromarray(floats), 1).tobytes()) == [0, 63, 255]
    assert list(in_channels(Pillow.fromarray(floats * 100), 1).tobytes()) == [0, 25, 100]


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(DataError, match="the model takes 4"):
        in_channels(picture(1), 4)


def test_the_hash_is_of_pixels_not_of_the_encoding():
    one = picture(1)
    assert pixel_hash(one) == pixel_hash(decode(encode(one, compress_level=0), WHERE))
    assert pixel_hash(one) == pixel_hash(decode(encode(one, "BMP"), WHERE))
    grey = one.convert("L")
    assert pixel_hash(grey) == pixel_hash(grey.convert("RGB"))
    assert pixel_hash(one) != pixel_hash(picture(2))
    flat = Pillow.new("RGB", (2, 8))
    assert pixel_hash(flat) != pixel_hash(Pillow.new("RGB", (8, 2)))
