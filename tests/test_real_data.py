"""The known names and the triggers on real data and on models that others trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = os.environ.get("NGF_HUB_SHARED")
pytestmark = pytest.mark.skipif(not SHARED, reason="NGF_HUB_SHARED is not set")

# Stated by those who converted the weights, on the first 4,000 test images.
STATED = {
    "vgg-badnets": (0.8478, 0.980),
    "vgg-l2inv": (0.8472, 1.000),
    "wrn-grid": (0.8123, 0.999),
    "resnet20-clean": (0.9165, None),
}
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
ROWS = 1000


@pytest.fixture(scope="module")
def first_rows():
    """The first test images of CIFAR-10, read without this package."""
    from datasets import load_dataset

    path = Path(SHARED) / "data" / "cifar10" / "data" / "test-00000-of-00001.parquet"
    rows = load_dataset("parquet", data_files=str(path), split=f"train[:{ROWS}]")
    images = np.stack([np.asarray(row["img"].convert("RGB")) for row in rows])
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.tensor(rows["label"])


@pytest.mark.parametrize("name", sorted(STATED))
def test_models_of_others_measure_as_they_say(name, first_rows):
    from benchmarks.thirdparty import load_entry
    from ngf_hub import evaluate

    classifier, trigger = load_entry(name)
    measured = evaluate(classifier, *first_rows, trigger=trigger, device="cpu")
    accuracy, success = STATED[name]
    low, high = measured.accuracy.interval
    assert low <= accuracy <= high
    if success is not None:
        low, high = measured.attack_success.interval
        assert low <= success <= high


@pytest.mark.slow
def test_known_names_are_fetched_from_their_repositories(local_hub, tmp_path):
    """`--dataset cifar10` reads the Hub's own repository, by its own column names."""
    import timm

    from ngf_hub.adapters import load_model

    torch.manual_seed(0)
    overlay = {"input_size": (3, 32, 32), "crop_pct": 1.0, "label_names": CIFAR10}
    network = timm.create_model("test_resnet", num_classes=10, pretrained_cfg_overlay=overlay)
    load_model(network).save(tmp_path / "model")
    local_hub.add_repo("acme/model", folder=tmp_path / "model")
    commit = local_hub.add_repo(
        "uoft-cs/cifar10", folder=Path(SHARED) / "data" / "cifar10", repo_type="dataset"
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "ngf_hub.cli", "evaluate", "acme/model", "--dataset", "cifar10",
            "--judge-samples", "300", "--trigger", "badnets", "--target", "ship", "--json",
        ],
        env=local_hub.env(tmp_path / "home"), cwd=tmp_path, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["data"]["name"] == "uoft-cs/cifar10"
    assert report["data"]["revision"] == commit
    assert (report["data"]["image_column"], report["data"]["label_column"]) == ("img", "label")
    assert report["data"]["class_matching"] == "by name"
    assert report["trigger"]["target"] == CIFAR10.index("ship")
    assert report["before"]["accuracy"]["n"] == 300
    assert not local_hub.log.select(path="train-0000"), "only the split that judges is needed"
