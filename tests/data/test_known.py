"""Short names, the embedded digits, and what importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ngf_hub.data import KNOWN, load_images
from ngf_hub.data import source as sources
from ngf_hub.data.known import find_known
from ngf_hub.hub import is_hub_id

from .pictures import numbers_of, write_splits


def test_known_names_are_well_formed():
    assert {"cifar10", "cifar100", "gtsrb", "tiny-imagenet", "imagenet", "digits"} <= set(KNOWN)
    for name, known in KNOWN.items():
        assert find_known(name.upper()) is known
        assert known.hub_id is None or is_hub_id(known.hub_id)
        assert known.hub_id is None or find_known(known.hub_id) is known
    assert find_known("acme/other") is None


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        ("cifar10", "uoft-cs/cifar10"),
        ("CIFAR10", "uoft-cs/cifar10"),
        ("acme/many", "acme/many"),
        ("hf://datasets/acme/many", "acme/many"),
        ("https://huggingface.co/datasets/acme/many/", "acme/many"),
    ],
)
def test_names_of_hub_datasets(name, repo, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ngf_hub.data.hub.open_hub", lambda *given: asked.append(given) or "a source"
    )
    assert sources.open_source(name, revision="v1", token="t") == "a source"
    assert asked == [(repo, None, "v1", "t")]


def test_a_folder_comes_before_a_hub_id_and_after_a_short_name(tmp_path, monkeypatch):
    write_splits(tmp_path / "acme" / "many", train=range(9))
    write_splits(tmp_path / "digits", train=range(9))
    monkeypatch.chdir(tmp_path)
    assert len(load_images("acme/many", samples=3).judge) == 6
    assert len(load_images("./digits", samples=3).judge) == 6
    assert len(load_images("digits", samples=3).judge) == 450


def test_digits():
    clean = load_images("digits", samples=None, judge_samples=None)
    assert (len(clean.tune), len(clean.judge)) == (1347, 450)
    assert clean.tune.class_names == [str(n) for n in range(10)]
    image, label = clean.judge[0]
    assert (image.mode, image.size) == ("L", (8, 8))
    assert 0 <= label < 10
    assert max(image.getdata()) > 200, "16 levels are spread over 8 bits"
    assert clean.info.revision is None
    assert clean.judge.labels.bincount().min() > 30


def test_a_known_sets_label_column_and_judge(tmp_path, monkeypatch):
    """ImageNet's test split has no labels, so validation judges."""
    folder = tmp_path / "ILSVRC" / "imagenet-1k"
    write_splits(folder, train=range(9), validation=range(20, 26), test=range(30, 36))
    monkeypatch.chdir(tmp_path)
    clean = load_images("ILSVRC/imagenet-1k", samples=3)
    assert set(numbers_of(clean.judge)) == set(range(20, 26))


def test_importing_is_cheap():
    code = "import sys, ngf_hub.data; print({'torch', 'datasets', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
