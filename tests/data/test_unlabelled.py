"""Images whose labels do not matter: any split will do, blind ones too."""

from __future__ import annotations

import pytest
from datasets import Dataset, Features, Image, Value

from ngf_hub.data import load_unlabelled
from ngf_hub.errors import DataError

from .pictures import cells, numbers_of, picture, table, write_parquet, write_splits


@pytest.fixture
def splits(tmp_path):
    folder = write_splits(tmp_path / "data", train=range(30), test=range(30, 50), extra=range(5))
    return str(folder)


def test_the_split_that_models_are_tested_on(splits):
    images, info = load_unlabelled(splits, samples=8)
    numbers = numbers_of(images)
    assert len(set(numbers)) == 8
    assert set(numbers) <= set(range(30, 50))
    assert images.labels is None
    assert [(part.split, part.n) for part in info.splits] == [("test", 8)]
    assert info.label_column is None


def test_any_other_split_will_do(splits, tmp_path):
    images, _ = load_unlabelled(splits, split="extra", samples=5)
    assert sorted(numbers_of(images)) == list(range(5))
    other = write_splits(tmp_path / "other", train=range(4), extra=range(9))
    assert load_unlabelled(str(other))[1].splits[0].split == "train"
    file = write_parquet(tmp_path / "one.parquet", table(range(6)))
    assert len(load_unlabelled(str(file))[0]) == 6


def test_the_seed_decides(splits):
    def drawn(seed):
        return numbers_of(load_unlabelled(splits, samples=8, seed=seed)[0])

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_fewer_images_than_asked_for_are_noted(splits):
    images, info = load_unlabelled(splits, samples=100)
    assert len(images) == 20
    assert "100 images were asked for; split test has 20." in info.notes


@pytest.mark.parametrize("streaming", [False, True])
def test_a_blind_test_set(tmp_path, streaming):
    blind = {"image": cells(range(7)), "label": [-1] * 7}
    rows = Dataset.from_dict(blind, features=Features({"image": Image(), "label": Value("int64")}))
    file = str(write_parquet(tmp_path / "blind.parquet", rows))
    images, _ = load_unlabelled(file, samples=4, streaming=streaming)
    assert len(set(numbers_of(images))) == 4


def test_several_label_columns_are_no_hindrance(tmp_path):
    two = {"image": cells(range(3)), "label": [0, 1, 2], "fine_label": [0, 1, 2]}
    features = Features({"image": Image(), "label": Value("int64"), "fine_label": Value("int64")})
    file = write_parquet(tmp_path / "two.parquet", Dataset.from_dict(two, features=features))
    assert len(load_unlabelled(str(file))[0]) == 3


def test_images_in_no_class_folders(tmp_path):
    for number in range(4):
        picture(number).save(tmp_path / f"{number}.png")
    assert sorted(numbers_of(load_unlabelled(str(tmp_path))[0])) == [0, 1, 2, 3]


def test_what_cannot_be(splits, tmp_path):
    with pytest.raises(DataError, match="no split 'dev'"):
        load_unlabelled(splits, split="dev")
    with pytest.raises(DataError, match="--samples"):
        load_unlabelled(splits, samples=0)
    with pytest.raises(DataError, match="no column 'x'"):
        load_unlabelled(splits, image_column="x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        load_unlabelled(str(tmp_path / "empty"))
