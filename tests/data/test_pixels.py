"""What models read: batches, selections, and sets too large for memory."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
import torch

from ngf_hub.data import PixelSet
from ngf_hub.data.pixels import empty_pixels
from ngf_hub.errors import DataError


@pytest.fixture
def ten():
    pixels = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 3, 2, 2) * 25
    return PixelSet(pixels.contiguous(), torch.arange(10))


def test_batches_in_order(ten):
    batches = list(ten.batches(4))
    assert [len(pixels) for pixels, _, _ in batches] == [4, 4, 2]
    pixels, labels, indices = batches[1]
    assert pixels.dtype == torch.float32
    assert torch.allclose(pixels[:, 0, 0, 0], torch.tensor([100, 125, 150, 175]) / 255)
    assert labels.tolist() == indices.tolist() == [4, 5, 6, 7]
    assert float(batches[-1][0].max()) <= 1


@pytest.mark.parametrize("indices", [[7, 2], torch.tensor([7, 2]), range(7, 1, -5)])
def test_batches_of_some(ten, indices):
    ((pixels, labels, found),) = ten.batches(4, indices=indices)
    assert labels.tolist() == found.tolist() == [7, 2]
    assert torch.allclose(pixels[:, 0, 0, 0], torch.tensor([175, 50]) / 255)


def test_selections_of_selections_share_pixels(ten):
    part = ten.select(range(1, 10, 2)).select([4, 0])
    assert len(part) == 2
    assert part.labels.tolist() == [9, 1]
    assert part.pixels[:, 0, 0, 0].tolist() == [225, 25]
    ((_, labels, indices),) = part.batches(5)
    assert (labels.tolist(), indices.tolist()) == ([9, 1], [0, 1])
    ((_, labels, indices),) = part.batches(5, indices=[1])
    assert (labels.tolist(), indices.tolist()) == ([1], [1])
    ten.pixels[9] = 3
    assert part.pixels[0, 0, 0, 0] == 3


def test_without_labels():
    ((_, labels, _),) = PixelSet(torch.zeros(2, 1, 2, 2)).batches(5)
    assert labels.tolist() == [-1, -1]


def test_floats_stay_as_they_are():
    pixels = torch.rand(3, 1, 2, 2)
    ((batch, _, _),) = PixelSet(pixels).batches(5)
    assert torch.equal(batch, pixels)


def test_shapes_are_checked():
    with pytest.raises(DataError, match=r"\(3, 2, 2\)"):
        PixelSet(torch.zeros(3, 2, 2))
    with pytest.raises(DataError, match="3 images, but labels of shape"):
        PixelSet(torch.zeros(3, 1, 2, 2), torch.zeros(2))


def test_large_sets_lie_in_a_file_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pixels = empty_pixels((100, 3, 8, 8), memory_bound=1000)
    pixels[:] = torch.arange(100, dtype=torch.uint8).view(-1, 1, 1, 1)
    assert pixels[99].unique().tolist() == [99]
    if os.name == "posix":
        assert list(tmp_path.iterdir()) == []
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(tmp_path) in maps.read_text()
    small = empty_pixels((1, 3, 8, 8), memory_bound=1000)
    assert small.shape == (1, 3, 8, 8)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("ngf_hub.spilling._reserve", full)
    with pytest.raises(DataError, match=r"no room for 0\.0 GiB") as caught:
        empty_pixels((10, 3, 8, 8), memory_bound=10)
    assert "TMPDIR" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
