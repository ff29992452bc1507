"""Small pictures, tables and folders of them, made on the fly."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Pillow

CLASSES = ["cat", "dog", "frog"]


def picture(number, size=8, mode="RGB"):
    """A picture that differs from all others with another number, with the number in it."""
    values = np.random.RandomState(number).randint(0, 256, (size, size, 3), dtype=np.uint8)
    values[0, 0] = number // 65536, number // 256 % 256, number % 256
    return Pillow.fromarray(values).convert(mode)


def number_of(image):
    """The number that :func:`picture` was given."""
    red, green, blue = image.convert("RGB").getpixel((0, 0))
    return red * 65536 + green * 256 + blue


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def numbers_of(images):
    """The numbers of all pictures of an ImageSet."""
    return [number_of(images[i][0]) for i in range(len(images))]


def cells(numbers, size=8):
    return [{"bytes": encode(picture(n, size)), "path": None} for n in numbers]


def table(numbers, *, classes=CLASSES, size=8, image="image", label="label"):
    """A table of pictures; the class of number n is ``n % len(classes)``."""
    numbers = list(numbers)
    return Dataset.from_dict(
        {image: cells(numbers, size), label: [n % len(classes) for n in numbers]},
        features=Features({image: Image(), label: ClassLabel(names=classes)}),
    )


def write_parquet(path, rows, **options):
    import pyarrow.parquet as pq

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    arrow = rows.data.table if isinstance(rows, Dataset) else rows
    pq.write_table(arrow, path, **options)
    return path


def write_splits(folder, **splits):
    """A folder in the Hub's layout, from numbers of pictures by split."""
    for split, numbers in splits.items():
        write_parquet(folder / "data" / f"{split}-00000-of-00001.parquet", table(numbers))
    return folder


def write_class_folders(folder, numbers, classes=CLASSES, within=""):
    for n in numbers:
        path = folder / classes[n % len(classes)] / within / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(n).save(path)
    return folder
