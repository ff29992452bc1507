"""A stream gives the same kind of images, and touches only a part of the files."""

from __future__ import annotations

import pytest

from ngf_hub.data import draw, load_images
from ngf_hub.data.source import open_source
from ngf_hub.errors import DataError

from .pictures import numbers_of, table, write_class_folders, write_parquet, write_splits


@pytest.fixture
def shards(tmp_path):
    """Twenty files of forty pictures in row groups of ten, and a small test split."""
    for shard in range(20):
        path = tmp_path / "data" / f"train-{shard:05d}-of-00020.parquet"
        write_parquet(path, table(range(40 * shard, 40 * shard + 40)), row_group_size=10)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", table(range(2000, 2030)))
    return tmp_path


def test_a_stream(shards):
    clean = load_images(str(shards), samples=30, judge_samples=20, streaming=True)
    tune, judge = numbers_of(clean.tune), numbers_of(clean.judge)
    assert (len(set(tune)), len(set(judge))) == (30, 20)
    assert set(tune) <= set(range(800))
    assert set(judge) <= set(range(2000, 2030))
    assert clean.tune.labels.tolist() == [n % 3 for n in tune]
    assert len({n // 40 for n in tune}) >= 3, "rows come from several files"


def test_one_split_gives_both_from_one_stream(shards):
    clean = load_images(
        str(shards), samples=30, judge_samples=50, judge_split="train", streaming=True
    )
    tune, judge = set(numbers_of(clean.tune)), set(numbers_of(clean.judge))
    assert (len(tune), len(judge), tune & judge) == (30, 50, set())


def test_the_seed_decides(shards):
    def drawn(seed):
        clean = load_images(str(shards), samples=20, judge_samples=5, seed=seed, streaming=True)
        return numbers_of(clean.tune), numbers_of(clean.judge)

    assert drawn(1) == drawn(1)
    assert drawn(1)[0] != drawn(2)[0]


def test_files_that_are_not_reached_are_not_opened(shards):
    chosen = next(iter(open_source(str(shards)).streams("train", 0)))
    kept = set(chosen._ex_iterable.kwargs["files"])
    assert 0 < len(kept) < 20
    for path in shards.glob("data/train-*"):
        if str(path) not in kept:
            path.write_bytes(b"corrupt")
    assert len(load_images(str(shards), samples=20, judge_samples=5, streaming=True).tune) == 20


def test_a_stream_that_ends_early(shards):
    clean = load_images(str(shards), samples=700, judge_samples=50, streaming=True)
    assert (len(clean.tune), len(clean.judge)) == (700, 30)
    assert len(set(numbers_of(clean.tune))) == 700
    with pytest.raises(DataError, match="none are left to judge"):
        load_images(str(shards), samples=800, judge_samples=5, judge_split="train", streaming=True)


def test_large_splits_are_streamed_by_themselves(shards, monkeypatch, datasets_cache):
    monkeypatch.setattr(draw, "STREAM_ABOVE", 20_000)
    load_images(str(shards), samples=30, judge_samples=20)
    prepared = [path.name for path in datasets_cache.rglob("*.arrow")]
    assert [name for name in prepared if "test" in name]
    assert not [name for name in prepared if "train" in name]
    # All of a split cannot be streamed, so it is fetched.
    assert len(load_images(str(shards), samples=None, judge_samples=20).tune) == 800


def test_all_images_cannot_be_streamed(shards):
    with pytest.raises(DataError, match=r"cannot be streamed.*--no-streaming"):
        load_images(str(shards), samples=None, streaming=True)


def test_class_folders_are_read_where_they_are(tmp_path):
    write_class_folders(tmp_path, range(9))
    assert len(load_images(str(tmp_path), samples=3, streaming=True).judge) == 6


def test_pictures_in_both_splits_do_not_judge(tmp_path):
    write_splits(tmp_path, train=range(10), test=range(5, 15))
    clean = load_images(str(tmp_path), samples=10, judge_samples=10, streaming=True)
    assert sorted(numbers_of(clean.judge)) == [*range(10, 15)]
    assert "5 judging images were left out: the same pictures tune." in clean.info.notes
