"""Sets of encoded images, and where those of a stream are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ngf_hub.data import ImageSet
from ngf_hub.data.images import ImageStore
from ngf_hub.errors import DataError

from .pictures import encode, number_of, numbers_of, picture


def images(*rows, **options):
    return ImageSet(lambda row: encode(picture(row)), rows, **options)


def test_items_are_decoded_pictures_and_labels():
    found = images(5, 300, labels=[1, 0], class_names=["a", "b"], split="test")
    image, label = found[1]
    assert (number_of(image), label, len(found)) == (300, 0, 2)
    assert found.labels.tolist() == [1, 0]
    assert images(5)[0][1] is None


def test_a_selection_keeps_its_order():
    found = images(5, 6, 7, labels=[0, 1, 2], class_names=["a", "b", "c"], split="test")
    part = found.select([2, 0])
    assert numbers_of(part) == part.rows == [7, 5]
    assert part.labels.tolist() == [2, 0]
    assert (part.class_names, part.split) == (found.class_names, "test")


def test_only_what_is_asked_for_is_read():
    read = []
    found = ImageSet(lambda row: read.append(row) or encode(picture(row)), range(1000))
    found.select([7, 3])[1]
    assert read == [3]


def test_a_broken_image_is_named_by_row_and_split():
    found = ImageSet(lambda row: b"broken", [41], split="te\nst")
    with pytest.raises(DataError, match="row 41 of split te st cannot be decoded"):
        found[0]


@pytest.mark.parametrize("bound", [10, 10**6])
def test_a_store_in_memory_or_on_disk(bound):
    store = ImageStore(memory_bound=bound)
    content = [bytes([n]) * (n + 1) for n in range(50)]
    assert [store.append(data) for data in content] == list(range(50))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read, range(50))) == content
    store.append(b"after reading")
    assert store.read(50) == b"after reading"
    assert store.read(0) == content[0]
