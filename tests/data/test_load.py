"""The images that tune never judge, and what the report says about both."""

from __future__ import annotations

import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ngf_hub.data import load_images
from ngf_hub.errors import DataError

from .pictures import CLASSES, cells, numbers_of, table, write_parquet, write_splits


@pytest.fixture
def one_split(tmp_path):
    return str(write_parquet(tmp_path / "one.parquet", table(range(40))))


@pytest.fixture
def two_splits(tmp_path):
    return str(write_splits(tmp_path / "two", train=range(30), test=range(20, 60)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 39), st.integers(1, 60) | st.none(), st.integers())
def test_one_split_is_divided(one_split, samples, judge_samples, seed):
    clean = load_images(one_split, samples=samples, judge_samples=judge_samples, seed=seed)
    tune, judge = numbers_of(clean.tune), numbers_of(clean.judge)
    assert len(set(tune)) == len(tune) == samples
    assert len(set(judge)) == len(judge) == min(judge_samples or 40, 40 - samples)
    assert not set(tune) & set(judge)
    assert any("both tunes and judges" in note for note in clean.info.notes)
    # By rows, not because duplicates were dropped afterwards.
    assert not any("left out" in note for note in clean.info.notes)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 30), st.integers(1, 60) | st.none(), st.integers())
def test_pictures_in_both_splits_do_not_judge(two_splits, samples, judge_samples, seed):
    clean = load_images(two_splits, samples=samples, judge_samples=judge_samples, seed=seed)
    tune, judge = numbers_of(clean.tune), numbers_of(clean.judge)
    assert len(tune) == samples
    assert not set(tune) & set(judge)
    free = set(range(20, 60)) - set(tune)
    assert set(judge) <= free
    assert len(set(judge)) == len(judge) == min(judge_samples or 60, len(free))
    noted = any("the same pictures tune" in note for note in clean.info.notes)
    # Duplicates beyond the last image that was needed are not looked for.
    assert noted == bool(set(tune) & set(range(20, 60))) or judge_samples is not None


def test_the_seed_decides(two_splits):
    def drawn(**options):
        clean = load_images(two_splits, judge_samples=15, **options)
        return numbers_of(clean.tune), numbers_of(clean.judge)

    assert drawn(samples=10, seed=3) == drawn(samples=10, seed=3)
    assert drawn(samples=10, seed=3)[0] != drawn(samples=10, seed=4)[0]
    assert drawn(samples=10, seed=3)[1] != drawn(samples=10, seed=4)[1]
    assert drawn(samples=20, seed=3)[0][:10] == drawn(samples=10, seed=3)[0]


def test_more_tuning_images_leave_the_judging_ones_alone(one_split):
    judges = [
        numbers_of(load_images(one_split, samples=n, judge_samples=8).judge) for n in (5, 20, 32)
    ]
    assert judges[0] == judges[1] == judges[2]


def test_fewer_images_than_asked_for_are_noted(two_splits):
    clean = load_images(two_splits, samples=500, judge_samples=50)
    assert (len(clean.tune), len(clean.judge)) == (30, 30)
    assert "500 images were asked for to tune; split train has 30." in clean.info.notes
    assert "50 images were asked for to judge; split test has 30." in clean.info.notes
    assert "10 judging images were left out: the same pictures tune." in clean.info.notes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"samples": 40}, "has 40 images; with 40 to tune none are left"),
        ({"samples": None}, "none are left"),
        ({"samples": -1}, "--samples 1"),
        ({"judge_samples": 0}, "--judge-samples 1"),
        ({"split": "test"}, "has no split 'test'"),
        ({"image_column": "x"}, "no column 'x'"),
        ({"label_column": "image"}, "no column 'image'|holds no class labels"),
    ],
)
def test_what_cannot_be(one_split, options, said):
    with pytest.raises(DataError, match=said) as caught:
        load_images(one_split, **options)
    assert "\n" not in str(caught.value)


def test_splits_of_the_same_pictures(tmp_path):
    write_splits(tmp_path, train=range(5), test=range(5))
    with pytest.raises(DataError, match="all of them tune too"):
        load_images(str(tmp_path), samples=None)


def test_an_empty_split(tmp_path):
    write_splits(tmp_path, train=range(5), test=[])
    with pytest.raises(DataError, match=r"'test' of .* is empty"):
        load_images(str(tmp_path))
    with pytest.raises(DataError, match=r"'test' of .* is empty"):
        load_images(str(tmp_path), split="test", judge_split="train")
    with pytest.raises(DataError, match="'test' has no images to judge by"):
        load_images(str(tmp_path), samples=3, judge_samples=3, streaming=True)


def unlabelled(numbers, label):
    features = Features({"image": Image(), "label": ClassLabel(names=CLASSES)})
    return Dataset.from_dict(
        {"image": cells(numbers), "label": [label(n) for n in numbers]}, features=features
    )


def test_rows_without_a_label_are_left_out(tmp_path):
    rows = unlabelled(range(30), lambda n: n % 3 if n < 20 else None)
    path = str(write_parquet(tmp_path / "some.parquet", rows))
    for streaming in (False, True):
        clean = load_images(path, samples=10, judge_samples=10, streaming=streaming)
        assert sorted(numbers_of(clean.tune) + numbers_of(clean.judge)) == [*range(20)]
        assert any("have no label and were left out" in note for note in clean.info.notes)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_blind_test_split(tmp_path, streaming):
    write_splits(tmp_path, train=range(9), validation=range(20, 29))
    write_parquet(
        tmp_path / "data" / "test-00000-of-00001.parquet", unlabelled(range(30, 36), lambda n: -1)
    )
    options = {"samples": 3, "judge_samples": 5, "streaming": streaming}
    with pytest.raises(DataError, match=r"'test' .* has no labels. .*: train, validation"):
        load_images(str(tmp_path), **options)
    assert len(load_images(str(tmp_path), judge_split="validation", **options).judge) == 5


def test_labels_beyond_the_declared_classes(tmp_path):
    features = Features({"image": Image(), "label": Value("int64")})
    rows = Dataset.from_dict({"image": cells([0, 1]), "label": [0, 7]}, features=features)
    declared = rows.data.table.replace_schema_metadata(table([0]).data.table.schema.metadata)
    path = str(write_parquet(tmp_path / "some.parquet", declared))
    with pytest.raises(DataError, match=r"A label is 7, but .* declares 3 classes"):
        load_images(path, samples=1)


def test_names_of_classes_agree_between_splits(tmp_path):
    """Strings are given indices over both splits, though one lacks a class."""
    for split, numbers in {"train": range(9), "test": [20, 23, 30]}.items():
        features = Features({"image": Image(), "label": Value("string")})
        names = {"image": cells(numbers), "label": [CLASSES[n % 3] for n in numbers]}
        rows = Dataset.from_dict(names, features=features)
        write_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet", rows)
    clean = load_images(str(tmp_path), samples=5)
    assert clean.judge.class_names == clean.tune.class_names == CLASSES
    assert clean.judge.labels.tolist() == [n % 3 for n in numbers_of(clean.judge)]


def test_few_classes_among_many_are_noted(tmp_path):
    names = [f"class {n}" for n in range(100)]
    numbers = [n * 100 for n in range(60)]  # all of class 0
    path = write_parquet(tmp_path / "x.parquet", table(numbers, classes=names))
    clean = load_images(str(path), samples=40)
    assert any("Only 1 of 100 classes" in note for note in clean.info.notes)


def test_pixels_for_a_model(one_split, preprocessing):
    class Model:
        class_names = ["Frog", "dog", "CAT", "owl"]  # noqa: RUF012
        num_classes = 4

    model = Model()
    model.preprocessing = preprocessing(8)
    clean = load_images(one_split, samples=10, judge_samples=12)
    with pytest.raises(DataError, match="--class-subset"):
        clean.pixels_for(model)
    tune, judge = clean.pixels_for(model, allow_subset=True)
    assert clean.info.class_matching == "by name, subset"
    assert (len(tune), len(judge), tune.shape) == (10, 12, (3, 8, 8))
    assert tune.labels.tolist() == [[2, 1, 0][n % 3] for n in numbers_of(clean.tune)]
    assert judge.labels.tolist() == [[2, 1, 0][n % 3] for n in numbers_of(clean.judge)]


def test_without_tuning_images_the_same_ones_judge(tmp_path, one_split):
    """What `evaluate` measures on are the images that `purify` judges by."""
    folder = str(write_splits(tmp_path / "apart", train=range(30), test=range(30, 60)))
    for dataset in (folder, one_split):
        both = load_images(dataset, samples=10, judge_samples=15, seed=5)
        alone = load_images(dataset, samples=0, judge_samples=15, seed=5)
        assert numbers_of(alone.judge) == numbers_of(both.judge)
        assert len(alone.tune) == 0
        assert [part.use for part in alone.info.splits] == ["judge"]


def test_a_split_alone_may_judge(tmp_path):
    folder = write_splits(
        tmp_path / "odd", spring=range(9), summer=range(9, 20), autumn=range(20, 30)
    )
    alone = load_images(str(folder), samples=0, judge_split="summer", judge_samples=None)
    assert sorted(numbers_of(alone.judge)) == list(range(9, 20))
