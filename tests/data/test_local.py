"""Datasets on this machine: files, folders in the Hub's layout, class folders."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ngf_hub.data import load_images
from ngf_hub.data.source import open_source
from ngf_hub.errors import DataError

from .pictures import (
    CLASSES,
    encode,
    numbers_of,
    picture,
    table,
    write_class_folders,
    write_parquet,
    write_splits,
)


def labels_are_right(images):
    return images.labels.tolist() == [n % len(CLASSES) for n in numbers_of(images)]


def test_a_folder_in_the_hubs_layout(tmp_path):
    write_splits(tmp_path, train=range(30), test=range(100, 120))
    (tmp_path / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    clean = load_images(str(tmp_path), samples=10)
    assert {*numbers_of(clean.tune)} <= {*range(30)}
    assert sorted(numbers_of(clean.judge)) == [*range(100, 120)]
    assert labels_are_right(clean.tune)
    assert labels_are_right(clean.judge)
    assert clean.tune.class_names == CLASSES
    assert clean.num_classes == 3
    assert clean.info.licence == "cc0-1.0"
    assert (clean.info.image_column, clean.info.label_column) == ("image", "label")
    assert [(s.split, s.n, s.use) for s in clean.info.splits] == [
        ("train", 10, "tune"),
        ("test", 20, "judge"),
    ]


def test_a_folder_behind_a_link(tmp_path):
    write_splits(tmp_path / "stored" / "set", train=range(30), test=range(100, 120))
    (tmp_path / "linked").symlink_to(tmp_path / "stored")
    assert len(load_images(str(tmp_path / "linked" / "set"), samples=10).tune) == 10


def test_only_the_needed_splits_are_prepared(tmp_path, datasets_cache):
    write_splits(tmp_path, train=range(30), test=range(40, 60))
    (tmp_path / "data" / "validation-00000-of-00001.parquet").write_bytes(b"corrupt")
    assert len(load_images(str(tmp_path), samples=10).judge) == 20
    assert not [*datasets_cache.rglob("*validation*")]
    with pytest.raises(DataError, match="corrupt"):
        load_images(str(tmp_path), samples=10, judge_split="validation")


def test_a_card_says_where_the_splits_are(tmp_path):
    write_parquet(tmp_path / "one.parquet", table(range(20)))
    write_parquet(tmp_path / "two.parquet", table(range(50, 60)))
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n"
        "- config_name: small\n  data_files:\n  - split: train\n    path: two.parquet\n"
        "- config_name: both\n  data_files:\n  - split: train\n    path: one.parquet\n"
        "  - split: test\n    path: two.parquet\n---\n"
    )
    clean = load_images(str(tmp_path), config="both", samples=5)
    assert sorted(numbers_of(clean.judge)) == [*range(50, 60)]
    assert clean.info.config == "both"
    with pytest.raises(DataError, match=r"several configurations.*--dataset-config: small, both"):
        load_images(str(tmp_path))
    with pytest.raises(DataError, match=r"no configuration 'nope'.*small, both"):
        load_images(str(tmp_path), config="nope")


def test_a_card_declares_the_classes(tmp_path):
    """Most repositories declare types in the card, and their parquet has none."""
    rows = pa.table(
        {
            "image": [{"bytes": encode(picture(n)), "path": None} for n in range(9)],
            "label": [n % 3 for n in range(9)],
        },
        schema=pa.schema(
            {
                "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
                "label": pa.int64(),
            }
        ),
    )
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", rows)
    (tmp_path / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n"
        "  - name: label\n    dtype:\n      class_label:\n        names:\n"
        "          '0': cat\n          '1': dog\n          '2': frog\n---\n"
    )
    for streaming in (False, True):
        clean = load_images(str(tmp_path), samples=3, judge_samples=3, streaming=streaming)
        assert clean.tune.class_names == CLASSES
        assert labels_are_right(clean.judge)


def test_a_parquet_file(tmp_path):
    path = write_parquet(tmp_path / "some.parquet", table(range(40)))
    clean = load_images(str(path), samples=10, judge_samples=20)
    assert not {*numbers_of(clean.tune)} & {*numbers_of(clean.judge)}
    assert labels_are_right(clean.judge)


def test_parquet_of_another_tool(tmp_path):
    """Structs of bytes and path, and a column of strings, without any types of ``datasets``."""
    names = [CLASSES[n % 3] for n in range(30)]
    rows = pa.table(
        {
            "image": [{"bytes": encode(picture(n)), "path": f"{n}.png"} for n in range(30)],
            "label": names,
        }
    )
    clean = load_images(str(write_parquet(tmp_path / "x.parquet", rows)), samples=10)
    assert labels_are_right(clean.tune)
    assert clean.tune.class_names == CLASSES
    plain = pa.table(
        {"png": [encode(picture(n)) for n in range(9)], "cls": [n % 3 for n in range(9)]}
    )
    clean = load_images(str(write_parquet(tmp_path / "y.parquet", plain)), samples=4)
    assert labels_are_right(clean.tune)
    assert (clean.tune.class_names, clean.num_classes) == (None, 3)


def test_a_table_may_not_point_at_files(tmp_path):
    picture(1).save(tmp_path / "private.png")
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cell = {"bytes": None, "path": str(tmp_path / "private.png")}
    rows = pa.table({"image": pa.array([cell] * 4, kind)})
    path = write_parquet(tmp_path / "x.parquet", rows)
    for streaming in (False, True):
        with pytest.raises(DataError, match="only a path, which is not followed"):
            load_images(str(path), samples=1, judge_samples=1, streaming=streaming)


@pytest.mark.parametrize("within", ["", "images"])
def test_class_folders(tmp_path, within):
    write_class_folders(tmp_path, range(30), within=within)
    clean = load_images(str(tmp_path), samples=10)
    assert clean.tune.class_names == CLASSES
    assert labels_are_right(clean.tune)
    assert labels_are_right(clean.judge)
    assert len(clean.judge) == 20


def test_class_folders_within_splits(tmp_path):
    write_class_folders(tmp_path / "train", range(30))
    write_class_folders(tmp_path / "val", [100, 101])  # not every class
    clean = load_images(str(tmp_path), samples=10)
    assert sorted(numbers_of(clean.judge)) == [100, 101]
    assert labels_are_right(clean.judge)
    assert clean.judge.class_names == CLASSES
    assert clean.info.splits[1].split == "val"


def test_a_class_may_be_called_train(tmp_path):
    classes = ["streetcar", "train", "test"]
    write_class_folders(tmp_path, range(12), classes)
    clean = load_images(str(tmp_path), samples=4, judge_samples=None)
    assert clean.tune.class_names == sorted(classes)
    assert len(clean.judge) == 8


def test_hidden_files_are_passed_over(tmp_path):
    write_class_folders(tmp_path, range(6))
    (tmp_path / "cat" / "._0.png").write_bytes(b"resource fork")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    assert len(load_images(str(tmp_path), samples=3).judge) == 3


def test_a_blind_split_has_no_labels(tmp_path):
    write_class_folders(tmp_path / "train", range(9))
    (tmp_path / "test").mkdir()
    picture(50).save(tmp_path / "test" / "50.png")
    with pytest.raises(DataError, match=r"'test' of .* has no labels. Choose another split: train"):
        load_images(str(tmp_path), samples=3)
    assert len(load_images(str(tmp_path), samples=3, judge_split="train").judge) == 6


def test_images_without_class_folders_have_no_labels(tmp_path):
    for n in range(6):
        picture(n).save(tmp_path / f"{n}.png")
    clean = load_images(str(tmp_path), samples=3)
    assert (clean.tune.labels, clean.judge.labels, clean.num_classes) == (None, None, None)
    assert clean.info.label_column is None


def test_metadata_beside_images(tmp_path):
    for n in range(6):
        picture(n).save(tmp_path / f"{n}.png")
    lines = [f"{n}.png,{n % 3}" for n in range(6)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    clean = load_images(str(tmp_path), samples=3)
    assert labels_are_right(clean.tune)
    assert clean.num_classes == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nowhere", "There is no file or folder './nowhere'"),
        ("/nowhere/at/all", "no file or folder"),
        ("", "no file or folder"),
        ("a/b/c", "no Hub id"),
        ("../x", "no file or folder"),
    ],
)
def test_what_does_not_exist(name, said):
    with pytest.raises(DataError, match=said) as caught:
        open_source(name)
    assert "cifar10" in caught.value.hint


def test_folders_and_files_that_hold_no_images(tmp_path):
    with pytest.raises(DataError, match="no images that can be read"):
        load_images(str(tmp_path))
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match="stored as csv, which holds no images"):
        load_images(str(tmp_path))
    with pytest.raises(DataError, match=r"a\.csv is no dataset file"):
        load_images(str(tmp_path / "a.csv"))
    table(range(3)).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="save_to_disk"):
        load_images(str(tmp_path / "saved"))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="corrupt") as caught:
        load_images(str(tmp_path / "b.parquet"))
    assert "\n" not in str(caught.value)


def test_a_folder_called_like_a_file_format(tmp_path, monkeypatch):
    write_splits(tmp_path / "parquet", train=range(9))
    monkeypatch.chdir(tmp_path)
    assert len(load_images("parquet", samples=3).judge) == 6
