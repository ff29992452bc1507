"""The image and the label column are found by their types."""

from __future__ import annotations

import pytest
from datasets import ClassLabel, Features, Image, Value

from ngf_hub.data.columns import Columns, find_columns
from ngf_hub.errors import DataError

CLASSES = ClassLabel(names=["a", "b"])
STRUCT = {"bytes": Value("binary"), "path": Value("string")}
STRING, INTEGER, BYTES = Value("string"), Value("int64"), Value("binary")


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"img": Image(), "label": CLASSES}, Columns("img", "label", "class", ("a", "b"))),
        ({"x": Image(decode=False), "y0": CLASSES}, Columns("x", "y0", "class", ("a", "b"))),
        # By type: what the names say does not matter while types tell.
        ({"label": Image(), "image": CLASSES}, Columns("label", "image", "class", ("a", "b"))),
        ({"image": Image(), "label": INTEGER, "id": INTEGER}, Columns("image", "label", "index")),
        ({"image": Image(), "Labels": Value("uint8")}, Columns("image", "Labels", "index")),
        ({"image": Image(), "label": Value("bool")}, Columns("image", "label", "index")),
        ({"image": Image(), "class": STRING, "caption": STRING}, Columns("image", "class", "name")),
        ({"image": Image(), "id": INTEGER, "text": STRING}, Columns("image")),
        ({"image": Image(), "label": Value("float32")}, Columns("image")),
        (
            {"image": Image(), "label": INTEGER, "kind": CLASSES},
            Columns("image", "kind", "class", ("a", "b")),
        ),
        ({"image": Image()}, Columns("image")),
        ({"picture": STRUCT, "label": INTEGER}, Columns("picture", "label", "index")),
        ({"whatever": STRUCT}, Columns("whatever")),
        ({"image": STRUCT, "mask": STRUCT}, Columns("image")),
        ({"png": BYTES, "cls": INTEGER, "__key__": STRING}, Columns("png", "cls", "index")),
        ({"img": {"bytes": Value("large_binary")}}, Columns("img")),
    ],
)
def test_found_by_type(features, expected):
    assert find_columns(Features(features)) == expected


@pytest.mark.parametrize(
    ("features", "asked", "expected"),
    [
        ({"image": Image(), "mask": Image()}, {"image_column": "mask"}, Columns("mask")),
        ({"image": Image(), "raw": BYTES}, {"image_column": "raw"}, Columns("raw")),
        (
            {"image": Image(), "fine": CLASSES, "coarse": CLASSES},
            {"label_column": "coarse"},
            Columns("image", "coarse", "class", ("a", "b")),
        ),
        (
            {"image": Image(), "label": CLASSES, "id": INTEGER},
            {"label_column": "id"},
            Columns("image", "id", "index"),
        ),
    ],
)
def test_the_user_decides(features, asked, expected):
    assert find_columns(Features(features), **asked) == expected


@pytest.mark.parametrize(
    ("features", "asked", "said"),
    [
        ({"image": Image(), "mask": Image()}, {}, ["image, mask", "--image-column"]),
        (
            {"image": Image(), "fine": CLASSES, "coarse": CLASSES},
            {},
            ["fine, coarse", "--label-column"],
        ),
        (
            {"image": Image(), "label": INTEGER, "class": STRING},
            {},
            ["label, class", "--label-column"],
        ),
        ({"text": STRING, "label": CLASSES}, {}, ["No image column in org/name", "text, label"]),
        ({"image": Image()}, {"image_column": "img"}, ["no column 'img'", "are image"]),
        ({"image": Image()}, {"label_column": "y"}, ["no column 'y'", "--label-column"]),
        ({"image": Image(), "text": STRING}, {"image_column": "text"}, ["holds no images"]),
        ({"image": Image(), "x": Value("float32")}, {"label_column": "x"}, ["no class labels"]),
        ({"image": {"bytes": BYTES, "url": STRING}}, {}, ["No image column"]),
    ],
)
def test_what_is_unclear_is_one_line(features, asked, said):
    with pytest.raises(DataError) as caught:
        find_columns(Features(features), dataset="org/name", **asked)
    for part in said:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
