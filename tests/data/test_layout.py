"""Layouts survive being written down, and odd ones are refused."""

from __future__ import annotations

import pytest
from datasets import ClassLabel, Features, Image

from ngf_hub.data.layout import Layout, find_layout
from ngf_hub.errors import DataError
from ngf_hub.licences import licence_of, licence_text

from .pictures import write_splits


def test_a_layout_survives_json():
    layout = Layout(
        "parquet",
        {"train": ["data/a [1].parquet"], "test": []},
        features=Features({"img": Image(), "label": ClassLabel(names=["a", "b"])}),
        options={"columns": ["img"]},
        config="both",
        licence="mit",
    )
    assert Layout.from_json(layout.to_json()) == layout
    assert Layout.from_json(Layout("arrow", {}).to_json()) == Layout("arrow", {})


def test_a_layout_of_another_version_is_passed_over():
    text = Layout("arrow", {}).to_json().replace('"version": 1', '"version": 2')
    assert Layout.from_json(text) is None


def test_the_layout_of_a_folder(tmp_path):
    write_splits(tmp_path, train=range(3), test=range(3))
    layout = find_layout(str(tmp_path))
    assert layout.module == "parquet"
    assert {split: len(paths) for split, paths in layout.files.items()} == {"train": 1, "test": 1}


def test_formats_without_images_are_refused(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(DataError, match="stored as json"):
        find_layout(str(tmp_path))


def test_licences(tmp_path):
    assert licence_text(["mit", "cc0-1.0"]) == "mit, cc0-1.0"
    assert licence_text(None) is None
    assert licence_of(tmp_path) is None
    (tmp_path / "README.md").write_text("---\nlicense: [broken\n---\n")
    assert licence_of(tmp_path) is None
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert licence_of(tmp_path) == "mit"
