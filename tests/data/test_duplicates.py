"""No picture that tunes judges too, however it is encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngf_hub.data import ImageSet
from ngf_hub.data.duplicates import without_duplicates
from ngf_hub.errors import DataError

from .pictures import encode, numbers_of, picture

ENCODED = {
    (n, kind): encode(picture(n, 4 if n < 5 else 6), kind)
    for n in range(10)
    for kind in ("PNG", "BMP")
}


def images(numbers, kind="PNG"):
    return ImageSet(lambda row: ENCODED[numbers[row], kind], range(len(numbers)))


numbers = st.lists(st.integers(0, 9), max_size=12)


@given(numbers, numbers, st.integers(1, 12) | st.none())
def test_the_first_that_are_no_duplicates_judge(tune, candidates, count):
    kept, dropped = without_duplicates(images(tune), images(candidates, "BMP"), count)
    fresh = [i for i, number in enumerate(candidates) if number not in tune]
    assert kept == fresh[:count]
    judge = images(candidates, "BMP").select(kept)
    assert not set(numbers_of(judge)) & set(tune)
    last = len(candidates) if count is None or len(kept) < count else kept[-1] + 1
    assert dropped == last - len(kept)


def test_only_sizes_on_both_sides_are_decoded():
    broken = encode(picture(1, 20))[:-30]  # a sound header only
    small = images([0, 1])
    large = ImageSet(lambda row: broken, range(3))
    assert without_duplicates(small, large, None) == ([0, 1, 2], 0)
    with pytest.raises(DataError, match="cannot be decoded"):
        without_duplicates(ImageSet(lambda row: encode(picture(2, 20)), [0]), large, None)


def test_many_chunks(monkeypatch):
    monkeypatch.setattr("ngf_hub.data.duplicates.CHUNK", 2)
    tune, candidates = [0, 1], [0, 2, 1, 3, 0, 4, 1, 5, 6]
    kept, dropped = without_duplicates(images(tune), images(candidates), 3)
    assert [candidates[i] for i in kept] == [2, 3, 4]
    assert dropped == 3
