"""Which split tunes and which judges, and the counts."""

from __future__ import annotations

import pytest

from ngf_hub.data.split import choose_splits, permutation, tuning_count
from ngf_hub.errors import DataError


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        (["train", "test"], {}, ("train", "test")),
        (["test", "train", "validation"], {}, ("train", "test")),
        (["train", "valid"], {}, ("train", "valid")),
        (["train", "val"], {}, ("train", "val")),
        (["train", "validation", "valid"], {}, ("train", "validation")),
        (["training", "evaluation"], {}, ("training", "evaluation")),
        (["train"], {}, ("train", "train")),
        (["test"], {}, ("test", "test")),
        (["whole"], {}, ("whole", "whole")),
        (["train", "contrast", "blur"], {}, ("train", "train")),
        (["validation", "test"], {}, ("validation", "test")),
        (["a", "test"], {}, ("a", "test")),
        (["train", "test"], {"split": "test"}, ("test", "test")),
        (["train", "test", "validation"], {"split": "test"}, ("test", "validation")),
        (["train", "test"], {"judge_split": "train"}, ("train", "train")),
        (["a", "b"], {"split": "b"}, ("b", "b")),
        (["a", "b"], {"split": "b", "judge_split": "a"}, ("b", "a")),
        (["train", "validation", "test"], {"usual_judge": "validation"}, ("train", "validation")),
        (["train", "test"], {"usual_judge": "validation"}, ("train", "test")),
        (
            ["train", "validation", "test"],
            {"usual_judge": "validation", "judge_split": "test"},
            ("train", "test"),
        ),
    ],
)
def test_choice(names, asked, expected):
    assert choose_splits(names, **asked) == expected


@pytest.mark.parametrize("asked", [{"split": "tran"}, {"judge_split": "tran"}])
def test_an_unknown_split_lists_those_that_exist(asked):
    with pytest.raises(DataError, match=r"cifar has no split 'tran'.*train, test"):
        choose_splits(["train", "test"], **asked, dataset="cifar")


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "test"]])
def test_an_unclear_choice_is_an_error(names):
    with pytest.raises(DataError, match=r"--split.*a, b"):
        choose_splits(names)


def test_orders_depend_on_seed_and_use_only():
    order = permutation(100, 0, "tune").tolist()
    assert sorted(order) == list(range(100))
    assert permutation(100, 0, "tune").tolist() == order
    assert permutation(100, 1, "tune").tolist() != order
    assert permutation(100, 0, "judge").tolist() != order
    assert permutation(100, -(10**30), "tune").tolist() != order
    # The same on every machine and for good: reports name the seed.
    assert permutation(8, 0, "tune").tolist() == [0, 1, 4, 6, 2, 5, 3, 7]


def test_counts():
    assert tuning_count(10, 4, split="s", judges_too=False) == (4, [])
    assert tuning_count(10, None, split="s", judges_too=False) == (10, [])
    count, notes = tuning_count(10, 12, split="s", judges_too=False)
    assert (count, notes) == (10, ["12 images were asked for to tune; split s has 10."])
    count, notes = tuning_count(10, 9, split="s", judges_too=True)
    assert count == 9
    assert "both tunes and judges" in notes[0]


@pytest.mark.parametrize(
    ("available", "samples", "judges_too", "said"),
    [
        (0, 5, False, "has no images"),
        (10, 10, True, "--samples 8 or fewer"),
        (10, None, True, "none are left to judge"),
        (1, 1, True, "--judge-split"),
    ],
)
def test_counts_that_leave_nothing(available, samples, judges_too, said):
    with pytest.raises(DataError) as caught:
        tuning_count(available, samples, split="s", judges_too=judges_too)
    assert said in str(caught.value)
