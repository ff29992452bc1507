"""Classes are matched completely or not at all."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngf_hub.data import match_classes
from ngf_hub.errors import DataError


def match(ours, theirs, **options):
    count = options.pop("count", len(ours or theirs))
    return match_classes(ours, theirs, count, len(theirs or ours), **options)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (["cat", "dog"], ["cat", "dog"], [0, 1]),
        (["cat", "dog"], ["dog", "cat"], [1, 0]),
        (["House_Cat", "DOG"], ["dog", "house-cat"], [1, 0]),
        (["house  cat ", "dog"], ["dog", "House Cat"], [1, 0]),
        (["tench", "goldfish"], ["goldfish, Carassius auratus", "tench, Tinca tinca"], [1, 0]),
        (["tench, Tinca tinca", "x"], ["x", "Tinca tinca"], [1, 0]),
        # A whole name is matched before one of several synonyms.
        (["maillot, tank suit", "maillot"], ["maillot", "maillot, tank suit"], [1, 0]),
        # What is matched leaves the other synonym clear.
        (["tank, x", "x"], ["x", "x, tank"], [1, 0]),
        (["1", "0"], ["0", "1"], [1, 0]),
        (["00", "01", "10"], ["1", "10", "0"], [2, 0, 1]),
        (["ﬁsh", "straße"], ["STRASSE", "fish"], [1, 0]),  # compatibility forms, case folding
    ],
)
def test_by_name(ours, theirs, expected):
    assert match(ours, theirs) == (expected, "by name")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (None, ["cat", "dog"]),
        (["cat", "dog"], None),
        (None, None),
        (["0", "1"], ["zero", "one"]),
        (["cat", "dog"], ["LABEL_0", "LABEL_1"]),
        (["class 0", "class 1"], ["cat", "dog"]),
        (["00", "01"], None),
        (["1", "2"], None),
    ],
)
def test_by_index_where_one_side_has_no_names(ours, theirs):
    assert match_classes(ours, theirs, 2, 2) == ([0, 1], "by index")


def test_names_that_are_not_one_a_class_are_not_used():
    assert match_classes(["b", "a"], ["a", "b", "c"], 2, 2) == ([0, 1], "by index")


def test_names_that_do_not_match_print_both_lists():
    with pytest.raises(DataError, match="2 of 2 classes") as caught:
        match(["car", "plane"], ["cat", "dog"])
    for name in ("car", "plane", "cat", "dog"):
        assert name in caught.value.details
    assert "--classes-by-index" in caught.value.hint


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (["cat", "plane"], ["cat", "dog"]),  # a part matches
        (["cat", "cat"], ["cat", "dog"]),  # two claim one
        (["horn, trumpet", "x"], ["horn", "trumpet"]),  # one claims two
        (["cat", "dog"], ["cat", "cat"]),
    ],
)
def test_an_unclear_match_is_an_error(ours, theirs):
    with pytest.raises(DataError, match="no clear counterpart"):
        match(ours, theirs)


def test_the_user_may_say_that_the_order_is_the_same():
    assert match(["car", "plane"], ["auto", "jet"], by_index=True) == ([0, 1], "by index")
    with pytest.raises(DataError):
        match_classes(["car"], ["auto", "jet"], 1, 2, by_index=True)


def test_a_subset_must_be_asked_for():
    ours, theirs = ["frog", "cat"], ["cat", "dog", "frog"]
    with pytest.raises(DataError, match="The data has 2 classes, the model 3") as caught:
        match(ours, theirs)
    assert "--class-subset" in caught.value.hint
    assert match(ours, theirs, allow_subset=True) == ([2, 0], "by name, subset")


@pytest.mark.parametrize("names", [None, ["0", "1"]])
def test_a_subset_needs_names(names):
    with pytest.raises(DataError, match="The data has 2 classes, the model 3") as caught:
        match_classes(names, ["cat", "dog", "frog"], 2, 3, allow_subset=True)
    assert "--class-subset" not in caught.value.hint


def test_more_classes_in_the_data_than_in_the_model():
    with pytest.raises(DataError, match="3 classes, the model only 2"):
        match_classes(["a", "b", "c"], ["a", "b"], 3, 2, allow_subset=True)
    with pytest.raises(DataError, match="3 classes, the model only 2"):
        match_classes(None, None, 3, 2)


def test_numbers_sorted_as_text_are_not_taken_for_an_order():
    folders = sorted(str(n) for n in range(12))
    with pytest.raises(DataError, match="numbers in another order"):
        match(folders, None)
    assert match(folders, None, by_index=True).label_map == list(range(12))
    assert match(folders, [str(n) for n in range(12)]).label_map == [int(n) for n in folders]


def test_wordnet_ids_are_looked_up():
    ids = ["n01443537", "n01440764", "n02123045"]
    assert match(ids, ["tabby", "tench", "goldfish"]).label_map == [2, 1, 0]
    assert match(["tabby, tabby cat", "goldfish", "tench"], ids).label_map == [2, 0, 1]
    assert match(ids, ids[::-1]).label_map == [2, 1, 0]
    with pytest.raises(DataError):
        match(["n99999999"], ["tench"])


@pytest.mark.parametrize("second", ["crane2", "crane_2", "crane"])
def test_homonyms_are_told_apart_by_an_order_that_is_otherwise_the_same(second):
    theirs = ["bittern", "crane", "limpkin", "CD player", "crane", "cradle"]
    ours = [*theirs[:4], second, "cradle"]
    assert match(ours, theirs) == ([0, 1, 2, 3, 4, 5], "by name")


@pytest.mark.parametrize(
    "ours",
    [
        ["crane", "bittern", "limpkin", "CD player", "crane2", "cradle"],
        ["limpkin", "crane", "bittern", "CD player", "crane2", "cradle"],
    ],
)
def test_homonyms_in_another_order_are_an_error(ours):
    theirs = ["bittern", "crane", "limpkin", "CD player", "crane", "cradle"]
    with pytest.raises(DataError, match="no clear counterpart"):
        match(ours, theirs)


def test_numbered_names_are_no_homonyms():
    with pytest.raises(DataError):
        match(["a", "b", "c", "speed limit 20"], ["a", "b", "c", "speed limit 30"])


def test_long_lists_show_what_has_no_counterpart():
    theirs = [f"bird {n} of the wood" for n in range(1000)]
    with pytest.raises(DataError) as caught:
        match([*theirs[:-1], "a fish"], theirs)
    assert "a fish" in caught.value.details
    assert "bird 999 of the wood" in caught.value.details
    assert "bird 5 of" not in caught.value.details


def test_names_cannot_forge_output():
    with pytest.raises(DataError) as caught:
        match(["\x1b[31mred\nError: x", "b"], ["c", "d"])
    assert "\x1b" not in str(caught.value) + caught.value.details
    assert "\n" not in str(caught.value)


@given(st.integers(2, 40), st.integers())
def test_any_order_gives_right_labels(count, seed):
    names = [f"class of {chr(97 + n % 26)}{n}" for n in range(count)]
    shuffled = random.Random(seed).sample(names, count)
    label_map, how = match(names, shuffled)
    assert how == "by name"
    assert [shuffled[place] for place in label_map] == names


def synonyms(name):
    return {re.sub("[ _-]+", " ", part).strip() for part in name.lower().split(",")} - {""}


@given(st.lists(st.text("abAB _-,", max_size=4), min_size=1, max_size=5), st.integers())
def test_a_match_is_one_to_one_and_shares_a_name_or_is_an_error(names, seed):
    theirs = random.Random(seed).sample(names, len(names))
    try:
        label_map, how = match(names, theirs)
    except DataError:
        return
    assert how == "by name"
    assert sorted(label_map) == list(range(len(names)))
    for name, place in zip(names, label_map, strict=True):
        assert synonyms(name) & synonyms(theirs[place]) or synonyms(name) == set()
