"""Images of any kind become the pixels that a model reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import DataLoader, Dataset, TensorDataset

from ngf_hub.data import ImageSet, PixelSet, as_pixels, match_classes, to_pixels
from ngf_hub.errors import DataError

from .pictures import encode, picture, table

NUMBERS = [0, 1, 2, 300, 4]


def images(labels=None, **options):
    return ImageSet(lambda row: encode(picture(row)), NUMBERS, labels=labels, **options)


def expected(channels=3):
    arrays = [np.asarray(picture(n).convert("L" if channels == 1 else "RGB")) for n in NUMBERS]
    pixels = torch.from_numpy(np.stack(arrays))
    return pixels[:, None] if channels == 1 else pixels.permute(0, 3, 1, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory_bound", [100, 10**6])
def test_images_to_pixels(preprocessing, channels, memory_bound):
    found = to_pixels(
        images([0, 1, 2, 0, 1]), preprocessing(8, channels), memory_bound=memory_bound
    )
    assert torch.equal(found.pixels, expected(channels))
    assert found.labels.tolist() == [0, 1, 2, 0, 1]


def test_labels_become_the_models(preprocessing):
    label_map, _ = match_classes(["cat", "dog", "frog"], ["frog", "cat", "dog"], 3, 3)
    found = to_pixels(images([0, 1, 2, 0, 1]), preprocessing(), label_map=label_map)
    assert found.labels.tolist() == [1, 2, 0, 1, 2]
    with pytest.raises(DataError, match="A label is 2"):
        to_pixels(images([0, 1, 2, 0, 1]), preprocessing(), label_map=[0, 1])


def test_progress_counts_every_image(preprocessing):
    seen = []

    def track(items, description, total=None):
        seen.append((description, total))
        for item in items:
            seen.append(None)
            yield item

    to_pixels(images(), preprocessing(), track=track, description="Reading")
    assert seen == [("Reading", 5), *[None] * 5]


def test_one_corrupt_image_ends_it_with_its_row(preprocessing):
    broken = ImageSet(lambda row: b"x" if row == 150 else encode(picture(row)), range(200))
    with pytest.raises(DataError, match="row 150"):
        to_pixels(broken, preprocessing())


def test_a_preprocessing_that_breaks_its_word(preprocessing):
    made = preprocessing(8)
    made.to_pixels = lambda image: torch.zeros(3, 8, 8)
    with pytest.raises(DataError, match="said it would give uint8"):
        to_pixels(images(), made)


class Pairs(Dataset):
    """Items that are made when they are asked for."""

    def __init__(self, make):
        self.make = make
        self.asked = []

    def __len__(self):
        return len(NUMBERS)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.make(NUMBERS[index]), index % 3


def tensor(number):
    return torch.from_numpy(np.asarray(picture(number)).copy()).permute(2, 0, 1)


LABELS = [0, 1, 2, 0, 1]
GIVEN = {
    "tensor": lambda: (expected(), torch.tensor(LABELS)),
    "floats": lambda: (expected() / 255, LABELS),
    "array": lambda: (expected().numpy(), np.array(LABELS)),
    "tensor dataset": lambda: (TensorDataset(expected(), torch.tensor(LABELS)), None),
    "loader": lambda: (DataLoader(Pairs(tensor), batch_size=2), None),
    "dataset of tensors": lambda: (Pairs(tensor), None),
    "dataset of pictures": lambda: (Pairs(picture), None),
    "dataset of arrays": lambda: (Pairs(lambda n: np.asarray(picture(n))), None),
    "list of pairs": lambda: (
        [(picture(n), y) for n, y in zip(NUMBERS, LABELS, strict=True)],
        None,
    ),
    "list of pictures": lambda: ([picture(n) for n in NUMBERS], LABELS),
    "list of tensors": lambda: ([tensor(n) for n in NUMBERS], LABELS),
    "generator": lambda: (((picture(n), y) for n, y in zip(NUMBERS, LABELS, strict=True)), None),
    "image set": lambda: (images(LABELS), None),
    "pixel set": lambda: (PixelSet(expected(), torch.tensor(LABELS)), None),
    "table": lambda: (table(NUMBERS), [n % 3 for n in range(5)]),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_whatever_is_given(kind, preprocessing):
    given, labels = GIVEN[kind]()
    found = as_pixels(given, labels, preprocessing=preprocessing())
    ((pixels, found_labels, _),) = found.batches(10)
    assert torch.allclose(pixels, expected() / 255, atol=1e-6)
    assert found_labels.tolist() == LABELS


def test_a_table_brings_its_labels(preprocessing):
    assert as_pixels(table(NUMBERS), preprocessing=preprocessing()).labels.tolist() == [
        0,
        1,
        2,
        0,
        1,
    ]


def test_labels_may_be_missing(preprocessing):
    assert as_pixels(expected()).labels is None
    assert as_pixels([picture(1)], preprocessing=preprocessing()).labels is None


def test_a_dataset_is_asked_once_for_each_item(preprocessing):
    pairs = Pairs(picture)
    as_pixels(pairs, preprocessing=preprocessing())
    assert pairs.asked == [0, 1, 2, 3, 4]


def test_pictures_are_resized_and_tensors_are_not(preprocessing):
    found = as_pixels([picture(1, 20)], preprocessing=preprocessing(8))
    assert found.shape == (3, 8, 8)
    with pytest.raises(DataError, match=r"3x20x20 .* the model takes 3x8x8"):
        as_pixels(torch.zeros(1, 3, 20, 20), preprocessing=preprocessing(8))
    with pytest.raises(DataError, match="1x8x8"):
        as_pixels(torch.zeros(1, 1, 8, 8), preprocessing=preprocessing(8))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.randn(4, 3, 8, 8) * 3, "Pixels go from"),
        (torch.full((1, 3, 8, 8), float("nan")), "Pixels go from"),
        (torch.ones(1, 3, 8, 8).long(), "type torch.int64"),
        (torch.zeros(3, 8, 8), "shape"),
        ([], "no images"),
        (7, "cannot be read from 'int'"),
        (["a.png"], "type 'str'"),
        ([Pillow.new("RGB", (8, 8)), "a.png"], "type 'str'"),
        ([torch.zeros(3, 8, 8), torch.zeros(3, 9, 9)], "not all of one shape"),
    ],
)
def test_what_is_no_image_is_one_line(given, said, preprocessing):
    with pytest.raises(DataError, match=said) as caught:
        as_pixels(given, preprocessing=preprocessing())
    assert "\n" not in str(caught.value)


def test_pictures_need_a_preprocessing():
    with pytest.raises(DataError, match=r"preprocessing=model\.preprocessing"):
        as_pixels([picture(1)])


def test_normalised_tensors_are_recognised():
    normalised = (expected() / 255 - 0.5) / 0.25
    with pytest.raises(DataError, match="before normalisation"):
        as_pixels(normalised)
