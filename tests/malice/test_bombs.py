"""Small files that would be huge: archives, tables, pictures. Memory, disk and time are bounded."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ngf_hub.adapters import load_model
from ngf_hub.data import load_images
from ngf_hub.data.picture import decode
from ngf_hub.errors import DataError
from ngf_hub.triggers import make_trigger
from tests.data.pictures import encode, picture

from .bounded import attempt, command

BOUND = 700 << 20
NULLS = 270 << 20


def read(folder, **options):
    images = load_images(str(folder), samples=3, judge_samples=3, **options)
    return [images.tune[0][1], len(images.judge)]


def png(width, height, *chunks):
    """A PNG that claims a size."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    parts += [chunk(kind, data) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IEND", b"")])


def encoded(kind, size, mode="1", **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def claiming(data, old, new):
    """The picture with the size in its header replaced."""
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


def bombs():
    packed = zlib.compress(b"\0" * (200 << 20), 9)
    jpeg = encoded("JPEG", (16, 16), "RGB")
    tiff = encoded("TIFF", (2000, 16), "L", compression="tiff_deflate")
    webp = encoded("WEBP", (16, 16), "RGB", lossless=True)
    return {
        "PNG": png(60_000, 60_000, (b"IDAT", packed)),
        "PNG in the range that Pillow warns of": png(12_000, 10_000, (b"IDAT", packed)),
        "PNG with a text": png(16, 16, (b"zTXt", b"a\0\0" + packed), (b"IDAT", packed)),
        "PNG with a profile": png(16, 16, (b"iCCP", b"a\0\0" + packed), (b"IDAT", packed)),
        "PNG of one bit": encoded("PNG", (20_000, 20_000)),
        "JPEG": claiming(jpeg, b"\x00\x10\x00\x10\x03", b"\xff\xff\xff\xff\x03"),
        "TIFF": claiming(
            tiff,
            struct.pack("<HHI", 4, 1, 2000)[:0] + struct.pack("<I", 2000),
            struct.pack("<I", 2_000_000_000),
        ),
        "TIFF of group 4": encoded("TIFF", (30_000, 30_000), compression="group4"),
        "WebP": claiming(webp, webp[21:25], b"\xff\xff\xff\x0f"),
        "GIF": claiming(encoded("GIF", (16, 16), "P"), b"\x10\0\x10\0", b"\xff\xff\xff\xff"),
        "BMP": claiming(
            encoded("BMP", (16, 16), "RGB"),
            struct.pack("<ii", 16, 16),
            struct.pack("<ii", 1 << 30, 1 << 30),
        ),
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        "FITS": b"SIMPLE  =                    T" + b" " * 3000,
    }


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_pictures(name):
    outcome = attempt(lambda: decode(BOMBS[name], "row 7").size, seconds=20).harmless(seconds=15)
    assert outcome.grown < BOUND, outcome.grown >> 20
    # Some are told by the header alone; of others Pillow reads as much as the size allows.
    assert not outcome.error or "DataError" in outcome.error, outcome.message
    if name not in ("PNG with a text", "PNG with a profile"):
        outcome.refused("row 7", error="DataError")


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WebP", "TIFF", "EPS"])
def test_pictures_in_folders_tables_and_triggers(name, copy, tmp_path):
    folder = copy("images")
    for path in folder.glob("*/*.png"):
        path.write_bytes(BOMBS[name])
    cells = [
        {"bytes": encode(picture(n)) if n % 2 else BOMBS[name], "path": None} for n in range(9)
    ]
    pq.write_table(pa.table({"image": cells, "label": [0, 1, 2] * 3}), tmp_path / "x.parquet")
    for place in (folder, tmp_path / "x.parquet"):
        attempt(lambda place=place: read(place), tmp_path).refused("image", error="DataError")
    (tmp_path / "patch.png").write_bytes(BOMBS[name])
    attempt(lambda: make_trigger(str(tmp_path / "patch.png"), 1), tmp_path).refused(
        "picture", error="TriggerError"
    )


@pytest.mark.parametrize("streaming", [False, True])
def test_tables(streaming, tmp_path):
    cell = encode(picture(1)) + b"\0" * (28 << 20)
    cells = pa.array([{"bytes": cell, "path": None}] * 10)
    pq.write_table(
        pa.table({"image": cells, "label": [0, 1] * 5}),
        tmp_path / "x.parquet",
        compression="zstd",
        use_dictionary=False,
    )
    outcome = attempt(lambda: read(tmp_path / "x.parquet", streaming=streaming), tmp_path)
    outcome.refused("would grow", error="DataError")


@pytest.mark.parametrize("nested", [True, False])
def test_tables_that_refer_to_one_cell_again_and_again(nested, tmp_path):
    cell = encode(picture(1)) + b"\0" * (8 << 20)
    cells = pa.array([{"bytes": cell, "path": None} if nested else cell] * 64)
    pq.write_table(
        pa.table({"image": cells, "label": [0, 1] * 32}),
        tmp_path / "x.parquet",
        compression="zstd",
        dictionary_pagesize_limit=1 << 30,
    )
    assert (tmp_path / "x.parquet").stat().st_size < 64 << 10
    del cells
    outcome = attempt(lambda: read(tmp_path / "x.parquet"), tmp_path)
    outcome.refused("would grow", error="DataError")


def test_a_cell_as_large_as_no_picture(tmp_path):
    from ngf_hub.data.rows import encoded as bounded

    with pytest.raises(DataError, match="256 MiB"):
        bounded({"bytes": memoryview(bytearray((256 << 20) + 1)), "path": None}, "row 1", False)


def test_archives_of_images(tmp_path):
    folder = tmp_path / "zip"
    folder.mkdir()
    with zipfile.ZipFile(folder / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(12):
            archive.writestr(f"train/{'cat' if n % 2 else 'dog'}/{n}.png", encode(picture(n)))
        with archive.open("train/cat/b.png", "w", force_zip64=True) as member:
            for _ in range(NULLS >> 20):
                member.write(b"\0" * (1 << 20))
    attempt(lambda: read(folder), tmp_path).refused("would grow", error="DataError")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for n in range(9):
            data = gzip.compress(encode(picture(n)))
            info = tarfile.TarInfo(f"{n}.png.gz")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    attempt(lambda: read(tmp_path / "x.tar"), tmp_path).refused("compressed", error="DataError")


def test_nothing_is_unpacked_outside(tmp_path):
    folder = tmp_path / "zip"
    folder.mkdir()
    with zipfile.ZipFile(folder / "train.zip", "w") as archive:
        for n in range(12):
            archive.writestr(f"train/{'cat' if n % 2 else 'dog'}/{n}.png", encode(picture(n)))
        archive.writestr(f"../../../../../../../{tmp_path}/slipped.png", encode(picture(3)))
        archive.writestr(f"{tmp_path}/slipped too.png", encode(picture(3)))
    attempt(lambda: read(folder), tmp_path).harmless()
    assert not list(tmp_path.rglob("slipped.png"))
    assert not (tmp_path / "slipped too.png").exists()


def checkpoint(method):
    """A checkpoint of nulls, which a zip archive packs a thousand to one."""
    saved = io.BytesIO()
    torch.save({"fc.weight": torch.zeros(40 << 20, dtype=torch.uint8)}, saved)
    packed = io.BytesIO()
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(packed, "w", method) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return packed.getvalue()


def test_checkpoints(copy, tmp_path):
    """One that is packed, one in one in one, and a pickle that asks for much memory."""
    inner = b"\0" * (32 << 20)
    for depth in range(3):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for n in range(8 if depth else 1):
                archive.writestr(f"x/{n}", inner)
        inner = file.getvalue()
    billion = b"\x80\x04" + b"]" + b"".join(b"(" + b"2" * 9 + b"l" for _ in range(30)) + b"."
    bytearrays = b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x."
    for name, content in {
        "packed": checkpoint(zipfile.ZIP_DEFLATED),
        "nested": inner,
        "lists": billion,
        "bytearray": bytearrays,
        "long": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    }.items():
        folder = copy("timm")
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(content)
        outcome = attempt(lambda f=folder: load_model(f), tmp_path).refused("pytorch_model.bin")
        assert outcome.grown < BOUND, name
        code = attempt(lambda f=folder: command("scan", f, "-e", "patch")["code"], tmp_path).done()
        assert code in (1, 2), name
