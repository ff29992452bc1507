"""Whatever a label column holds becomes class indices."""

from __future__ import annotations

import pytest

from ngf_hub.data.columns import Columns
from ngf_hub.data.labels import Labels
from ngf_hub.errors import DataError


def test_declared_classes():
    labels = Labels(Columns("i", "l", "class", ("a", "b", "c")), [1, None])
    assert (labels.names, labels.count) == (["a", "b", "c"], 3)
    assert labels.encode([2, None, 0, -1]) == [2, -1, 0, -1]
    with pytest.raises(DataError, match="A label is 3"):
        labels.encode([3])


def test_indices_without_names():
    labels = Labels(Columns("i", "l", "index"), [0, 4, -1, True])
    assert (labels.names, labels.count) == (None, 5)
    assert labels.encode([4, False, -1]) == [4, 0, -1]


def test_names_are_sorted_as_people_sort_them():
    labels = Labels(Columns("i", "l", "name"), ["b", "a", None, "", "b"])
    assert (labels.names, labels.count) == (["a", "b"], 2)
    assert labels.encode(["b", "", "a"]) == [1, -1, 0]
    assert Labels(Columns("i", "l", "name"), ["10", "9", "x"]).names == ["x", "9", "10"]


def test_no_labels():
    labels = Labels(Columns("i"), [])
    assert (labels.names, labels.count) == (None, None)
