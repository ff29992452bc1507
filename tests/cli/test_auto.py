"""The main command by its default method: exit codes, and what it says."""

import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ngf_hub.attacks.scratch import make_classifier
from ngf_hub.data import load_images
from ngf_hub.demo import ARCHITECTURE, train_badnets

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What several commands gave, run in one process; and the folder they ran in."""
    root = tmp_path_factory.mktemp("auto")
    everything = load_images("digits", samples=None, judge_samples=None, seed=0)
    clean, classifier = (
        make_classifier(ARCHITECTURE, num_classes=10, class_names=DIGITS, size=16, seed=0)
        for _ in range(2)
    )
    train, _ = everything.pixels_for(classifier)
    train_badnets(clean, train, epochs=8, poison_rate=0)
    clean.save(root / "clean")
    train_badnets(classifier, train, epochs=8).save(root / "true")
    classifier.save(root / "backdoored")
    (root / "unlabelled").mkdir()
    for row, pixels in enumerate(train.pixels[:160]):
        picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        picture.save(root / "unlabelled" / f"{row}.png")
    digits = ["--dataset", "digits", "--samples", "100", "--judge-samples", "100"]
    lines = {
        "nothing": ["purify", "clean", *digits, "--device", "cpu", "--output", "a"],
        # One step forgets nothing, and it has to say so.
        "one step": [
            "purify", "backdoored", "--dataset", "unlabelled", "--samples", "100",
            "--device", "cpu", "--output", "b", "-o", "steps=1", "-o", "attempts=1",
            "-o", "rounds=1", "--trigger", "true", "--push-to", "acme/model", "--json",
        ],
        "max drop of others": [
            "purify", "clean", *digits, "--method", "ngf", "--max-drop", "1", "--output", "c",
        ],
        "negative budget": ["purify", "clean", *digits, "--budget", "-1", "--output", "d"],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.driver"],
        input=json.dumps({"cwd": str(root), "lines": lines}),
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "HF_TOKEN": "hf_" + "x" * 34},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), root


@pytest.mark.slow
def test_where_nothing_is_found_nothing_changes(results):
    lines, root = results
    assert lines["nothing"]["code"] == 0, lines["nothing"]["err"]
    assert "Nothing found, and nothing changed." in lines["nothing"]["out"]
    before = load_file(root / "clean" / "model.safetensors")
    after = load_file(root / "a" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    report = json.loads((root / "a" / "report.json").read_text())
    assert report["cure"]["state"] == "nothing found"
    assert report["cure"]["why"]
    assert (report["method"]["layers"], report["method"]["steps"]) == ([], 0)
    assert report["after"] == report["before"]
    card = (root / "a" / "README.md").read_text()
    assert "the weights are those of the source" in card


@pytest.mark.slow
def test_what_does_not_hold_is_not_called_purified(results):
    lines, root = results
    line = lines["one step"]
    assert line["code"] == 3, line["err"]
    assert "Not published" in line["err"]
    report = json.loads(line["out"])
    assert report["cure"]["state"] == "not established"
    unseen = [entry for entry in report["cure"]["estimates"] if not entry["seen"]]
    assert unseen
    assert max(entry["after"]["value"] for entry in unseen) > 0.1
    assert report["after"]["attack_success"]["value"] > 0.5
    card = (root / "b" / "README.md").read_text()
    assert "The backdoor is still there." in card
    assert "**not established**" in card


@pytest.mark.slow
def test_without_labels_accuracy_is_agreement(results):
    lines, root = results
    report = json.loads(lines["one step"]["out"])
    assert report["data"]["unlabelled"]
    assert report["before"]["accuracy"]["value"] == 1.0
    assert "Agreement with the original" in (root / "b" / "README.md").read_text()


@pytest.mark.slow
def test_options_of_auto_alone_are_refused_elsewhere(results):
    lines, _ = results
    for name, said in (("max drop of others", "max_drop"), ("negative budget", "budget")):
        assert lines[name]["code"] == 2
        assert said in lines[name]["err"]
        assert lines[name]["err"].count("\n") == 1
