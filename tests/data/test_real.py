"""Real datasets, whose column names and numbers of classes differ as they do on the Hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ngf_hub.data import load_images, match_classes, to_pixels
from ngf_hub.errors import DataError

SHARED = os.environ.get("NGF_HUB_SHARED")
pytestmark = pytest.mark.skipif(not SHARED, reason="NGF_HUB_SHARED is not set")

TABLE = [
    # folder, image column, classes, size of an image
    ("cifar10", "img", 10, 32),
    ("gtsrb", "image", 43, 32),
    ("tiny-imagenet-20", "image", 20, 64),
    ("imagenette", "image", 10, 224),
]


@pytest.mark.parametrize(("name", "image_column", "classes", "size"), TABLE)
def test_real_data(name, image_column, classes, size, preprocessing):
    path = Path(SHARED) / "data" / name
    # A small test split judges, streamed from where it is: preparing it all takes seconds.
    clean = load_images(str(path), samples=30, judge_samples=40, split="test", streaming=True)
    assert (clean.info.image_column, clean.num_classes) == (image_column, classes)
    assert len(clean.tune.class_names) == classes
    assert (len(clean.tune), len(clean.judge)) == (30, 40)
    assert clean.tune[0][0].size == (size, size)
    pixels = to_pixels(clean.tune, preprocessing(16))
    assert pixels.shape == (3, 16, 16)
    assert pixels.pixels.float().std() > 20, "pictures, not noise or a constant"
    assert pixels.labels.max() < classes


def test_class_names_of_real_sets():
    names = {
        name: load_images(
            str(Path(SHARED) / "data" / name), samples=1, judge_samples=1, split="test",
            streaming=True,
        ).tune.class_names
        for name in ("cifar10", "imagenette", "gtsrb")
    }  # fmt: skip
    imagenette = names["imagenette"]
    wordnet = ["n01440764", "n02102040", "n02979186", "n03000684", "n03028079"]
    wordnet += ["n03394916", "n03417042", "n03425413", "n03445777", "n03888257"]
    assert match_classes(imagenette, wordnet, 10, 10) == (list(range(10)), "by name")
    with pytest.raises(DataError, match="no clear counterpart"):
        match_classes(names["cifar10"], imagenette, 10, 10)
    reverse = names["gtsrb"][::-1]
    assert match_classes(names["gtsrb"], reverse, 43, 43).label_map == list(range(42, -1, -1))


def test_an_imagenet_model_and_its_parts():
    """The names that timm has for all of ImageNet: homonyms, synonyms, ids, and a subset."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    ids = info.label_names()
    names = [info.index_to_description(i) for i in range(1000)]
    assert match_classes(ids, names, 1000, 1000).label_map == list(range(1000))
    first = [name.split(",")[0] for name in names]
    assert match_classes(first, names, 1000, 1000).label_map == list(range(1000))
    unique = [n + "2" if n in first[:i] else n for i, n in enumerate(first)]
    assert len(set(unique)) == 1000
    assert match_classes(unique, names, 1000, 1000).label_map == list(range(1000))
    part = match_classes(["tench", "French horn"], names, 2, 1000, allow_subset=True)
    assert part == ([0, 566], "by name, subset")
