"""A harmless model and harmless images, to be made harmful in one way at a time."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import save_file

from ngf_hub.data import load_images
from ngf_hub.demo import untrained_classifier
from tests.adapters.test_transformers import folder_of
from tests.data.pictures import write_class_folders

NAMES = ["cat", "dog", "frog"]


@pytest.fixture(scope="session")
def harmless(tmp_path_factory):
    """Folders of a timm model, a transformers model, a trigger, and images."""
    root = tmp_path_factory.mktemp("harmless")
    (root / "timm").mkdir()
    untrained_classifier(NAMES, seed=0).save(root / "timm")
    folder_of(root / "vit", names=[*NAMES, "gull", "owl"])
    write_class_folders(root / "images", range(24), NAMES)
    import matplotlib.font_manager  # noqa: F401  # asks the system for its fonts, once

    load_images(str(root / "images"), samples=3, judge_samples=3)  # imports what the cells need
    return root


@pytest.fixture(autouse=True)
def datasets_cache(tmp_path, monkeypatch):
    """What `datasets` keeps goes below the test's own folder, where it may write."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    monkeypatch.setattr(datasets.config, "EXTRACTED_DATASETS_PATH", str(tmp_path / "extracted"))


@pytest.fixture
def copy(harmless, tmp_path):
    """A copy of one of the harmless folders: ``copy("timm")``."""
    count = iter(range(1000))

    def make(kind):
        return shutil.copytree(harmless / kind, tmp_path / f"{kind}{next(count)}")

    return make


@pytest.fixture
def trigger(tmp_path):
    """A trigger's folder."""
    folder = tmp_path / "trigger"
    folder.mkdir()
    save_file(
        {"pattern": torch.ones(3, 2, 2), "opacity": torch.ones(1, 2, 2)},
        folder / "trigger.safetensors",
    )
    (folder / "trigger.json").write_text(
        '{"family": "patch", "target": 1, "parameters": '
        '{"place": "top-left", "margin": 0, "reference": null}}'
    )
    return folder
