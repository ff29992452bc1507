"""Each command does its work and prints JSON where asked; the help answers at once."""

import json
import os
import subprocess
import sys

import pytest

from ngf_hub.demo import untrained_classifier
from ngf_hub.triggers import make_trigger

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What a chain of commands gave, run in one process; and the folder it ran in."""
    root = tmp_path_factory.mktemp("commands")
    untrained_classifier(DIGITS, seed=0).save(root / "model")
    make_trigger("badnets", 2).save(root / "trigger")
    data = ["--dataset", "digits", "--judge-samples", "50", "--device", "cpu"]
    lines = {
        "layers": ["layers", "model", "--json"],
        "layers table": ["layers", "model"],
        "methods": ["methods", "--json"],
        "methods table": ["methods"],
        "purify": [
            "purify", "model", *data, "--samples", "40", "-t", "trigger", "--method", "ngf",
            "--json",
        ],
        "purify table": [
            "purify", "model", *data, "--samples", "40", "--layer", "layer4.*", "--method", "ngf",
            "-o", "steps=2", "--output", "out/inner",
        ],
        "evaluate": [
            "evaluate", "purified/model", *data, "-t", "badnets", "--target", "2", "--json",
        ],
        "evaluate table": ["evaluate", "model", *data, "-t", "trigger", "--per-class"],
        "card": ["card", "purified/model", "--json"],
        "dry run": ["publish", "purified/model", "acme/model", "--dry-run", "--json"],
        "dry run table": ["publish", "purified/model", "acme/model", "--dry-run"],
        "version": ["--version"],
        "completion": ["--show-completion"],
    }  # fmt: skip
    # Completion asks which shell is above it, and tests may be started by none. With a second
    # command bash stays where it is.
    done = subprocess.run(
        ["bash", "-c", '"$0" -m tests.cli.driver; exit $?', sys.executable],
        input=json.dumps({"cwd": str(root), "lines": lines}),
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120"},
        text=True,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout), root


def output(results, name):
    result = results[0][name]
    assert result["code"] == 0, result["err"]
    return result["out"]


def test_layers(results):
    listed = json.loads(output(results, "layers"))
    assert (listed["family"], listed["architecture"], listed["num_classes"]) == (
        "timm",
        "test_resnet",
        10,
    )
    assert listed["input"] == [3, 32, 32]
    assert [layer["depth"] for layer in listed["layers"]] == list(range(len(listed["layers"])))
    head = listed["layers"][-1]
    assert (head["name"], head["kind"], head["shape"], head["head"]) == (
        "fc",
        "linear",
        [10, 96],
        True,
    )
    assert head["parameters"] == 970
    for layer in listed["layers"]:
        assert layer["name"].split(".")[0] in output(results, "layers table")


def test_methods(results):
    listed = json.loads(output(results, "methods"))
    assert {"ngf", "ft"} <= set(listed)
    assert "2306.17441" in listed["ngf"]["citation"]
    for option in listed["ngf"]["options"]:
        assert option in output(results, "methods table")


def test_purify_writes_where_it_says(results):
    report = json.loads(output(results, "purify"))
    folder = results[1] / "purified" / "model"
    assert report == json.loads((folder / "report.json").read_text())
    assert report["method"]["name"] == "ngf"
    assert report["method"]["layers"] == ["fc"]
    assert report["provenance"]["arguments"]["samples"] == 40
    assert (report["before"]["accuracy"]["n"], report["trigger"]["target"]) == (50, 2)
    assert (results[1] / "out" / "inner" / "model.safetensors").exists()
    assert "nothing is said about a backdoor" in output(results, "purify table")


def test_evaluate_finds_what_the_report_says(results):
    report = json.loads((results[1] / "purified" / "model" / "report.json").read_text())
    measured = json.loads(output(results, "evaluate"))
    assert measured["before"] == report["after"]
    assert "ASR" in output(results, "evaluate table")


def test_card_and_publish(results):
    card = json.loads(output(results, "card"))["card"]
    assert card == "purified/model/README.md"
    planned = json.loads(output(results, "dry run"))
    assert planned["changed"] is False
    assert {"model.safetensors", "config.json", "report.json", "README.md"} <= set(planned["files"])
    assert (
        planned["files"]["config.json"]
        == (results[1] / "purified/model/config.json").stat().st_size
    )
    assert "model.safetensors" in output(results, "dry run table")


def test_version_and_completion(results):
    assert output(results, "version").startswith("ngf-hub 0.")
    assert "ngf-hub" in output(results, "completion")


def test_the_help_does_not_wait_for_pytorch():
    code = (
        "import sys; from ngf_hub.cli import main\n"
        "try: main(['purify', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'timm', 'datasets', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert "--dataset" in done.stdout
