"""A cache of their own for the tests, and a preprocessing to convert with."""

from __future__ import annotations

import datasets
import pytest
from torch import nn

from ngf_hub.adapters.preprocessing import Preprocessing, to_uint8


@pytest.fixture(autouse=True)
def datasets_cache(tmp_path, monkeypatch):
    """Tables that are prepared go to a fresh folder."""
    cache = tmp_path / "datasets-cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", cache / "downloads")
    return cache


@pytest.fixture
def preprocessing():
    """Makes a preprocessing that only resizes: ``preprocessing(size, channels)``."""

    def make(size=8, channels=3):
        return Preprocessing(
            size=(size, size),
            to_pixels=lambda image: to_uint8(image.resize((size, size)), channels),
            normalise=nn.Identity(),
            channels=channels,
        )

    return make
