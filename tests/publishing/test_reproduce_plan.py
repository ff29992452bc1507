"""What a report may make this tool run: known options of known commands, and nothing else."""

from pathlib import Path

import pytest

from ngf_hub.errors import ModelError, ReportError
from ngf_hub.report import AttackInfo, Rate
from ngf_hub.reproducing import reproduce
from ngf_hub.reproducing.fetched import Fetched
from ngf_hub.reproducing.plan import Mine, make_plan
from ngf_hub.reproducing.result import overlap
from tests import report_samples as samples
from tests.publishing.helpers import refused

COMMIT, DATA_COMMIT = samples.SOURCE_COMMIT, samples.DATA_COMMIT

HUB = {"dataset": "uoft-cs/cifar10", "dataset_revision": None, "model": "x"}


def fetched(folder=Path("/published"), **changes):
    recorded = changes.pop("arguments", {})
    origin = samples.provenance(arguments={**HUB, **recorded}, **changes.pop("origin", {}))
    changes = {"trigger": None, "provenance": origin, **changes}
    return Fetched("acme/x", None, folder, samples.report(**changes), ())


def plan(**changes):
    return make_plan(fetched(**changes), Mine())


def test_the_command_is_pinned_to_commits_and_seed():
    assert plan(
        arguments={
            "samples": 100, "judge_samples": 0, "split": "train", "streaming": False,
            "class_subset": True, "classes_by_index": False, "layer": "layer4.*",
            "options": {"steps": "20", "learning_rate": 1e-05}, "device": "cuda:3",
            "mixed_precision": "bf16", "batch_size": None, "method": "ngf",
            "trigger": "/home/me/t", "forget": [],
        }
    ) == [
        "purify", "hf-hub:acme/resnet-cifar", f"--revision={COMMIT}",
        "--dataset=hf://datasets/uoft-cs/cifar10", f"--dataset-revision={DATA_COMMIT}",
        "--judge-samples=0", "--class-subset", "--no-streaming", "--split=train",
        "--samples=100", "--mixed-precision=bf16", "--layer=layer4.*", "--method=ngf",
        "--option=steps=20", "--option=learning_rate=1e-05", "--seed=7",
    ]  # fmt: skip


def test_a_value_stays_one_word_of_its_option():
    evil = "head --push-to=evil/repo; touch pwned $(id) `id`"
    words = plan(arguments={"layer": evil, "judge_split": "--output=/etc"})
    assert f"--layer={evil}" in words
    assert "--judge-split=--output=/etc" in words
    assert not [word for word in words if word.startswith(("--push-to", "--output", "--trust"))]


def attack_report(**changes):
    given = {
        "name": "badnets", "citation": "x", "kind": "dirty label", "from_scratch": True, "steps": 1,
    }  # fmt: skip
    recorded = {
        "dataset": "digits", "attack": "badnets", "target": "3", "options": {"size": 8},
        "training": {
            "epochs": 2.0, "batch_size": 64, "optimiser": "adamw", "learning_rate": 0.002,
            "weight_decay": 0.05, "crop": 2, "flip": False, "clip": 1.0,
        },
        "image_size": 16, "model_options": {"channels": "[8, 8]"}, "from_scratch": True,
    }  # fmt: skip
    source = {"name": "timm/test_resnet", "commit": None, "files": {}}
    return {
        "kind": "attack",
        "attack": AttackInfo(**given),
        "method": None,
        "after": None,
        "model": samples.model(**{**source, **changes.pop("model", {})}),
        "data": samples.data(name="digits", revision=None),
        "arguments": {**recorded, **changes},
    }


def test_an_attack_is_trained_as_it_was():
    assert plan(**attack_report()) == [
        "attack", "--model=timm/test_resnet", "--dataset=digits", "--target=3",
        "--image-size=16", "--attack=badnets", "--option=size=8",
        "--model-option=channels=[8, 8]", "--epochs=2.0", "--train-batch-size=64",
        "--optimiser=adamw", "--learning-rate=0.002", "--weight-decay=0.05", "--no-flip",
        "--seed=7",
    ]  # fmt: skip


HOSTILE = {
    "remote code": ({"arguments": {"trust_remote_code": True}}, "--trust-remote-code"),
    "a place to write to": ({"arguments": {"output": "/etc"}}, "'output'"),
    "a repository to publish to": ({"arguments": {"push_to": "evil/repo"}}, "'push_to'"),
    "a local model": (
        {"model": samples.model(name="/home/victim/model", commit=None)},
        "local model 'model'",
    ),
    "a model that is a path": ({"model": samples.model(name="../../model")}, "'model'"),
    "a commit that is an option": (
        {"model": samples.model(commit="--push-to=evil/repo")},
        "'model'",
    ),
    "a local dataset": (
        {"data": samples.data(name="/home/victim/photos", revision=None)},
        "local dataset 'photos'",
    ),
    "a dataset that is a path": ({"data": samples.data(name="/home/victim/photos")}, "'dataset'"),
    "a dataset by a URL": ({"data": samples.data(name="https://evil.example/data")}, "'dataset'"),
    "a branch for a commit": ({"data": samples.data(revision="main")}, "'dataset'"),
    "a method that is a path": ({"arguments": {"method": "../method"}}, "'method'"),
    "an option that is a path": (
        {"arguments": {"options": {"image": "/etc/passwd"}}},
        "'options.image'",
    ),
    "an option that is an option": ({"arguments": {"options": {"-o x": "1"}}}, "'options.-o x'"),
    "options that are none": ({"arguments": {"options": ["steps=1"]}}, "'options'"),
    "a count that is none": ({"arguments": {"samples": "100"}}, "'samples'"),
    "a count that is true": ({"arguments": {"samples": True}}, "'samples'"),
    "a count without end": ({"arguments": {"judge_samples": 10**30}}, "'judge_samples'"),
    "a line break": ({"arguments": {"layer": "head\n--output=/etc"}}, "'layer'"),
    "a flag that is none": ({"arguments": {"class_subset": "yes"}}, "'class_subset'"),
    "a seed out of range": ({"origin": {"seed": 2**40}}, "'seed'"),
    "triggers that are not there": ({"arguments": {"forget": ["secret"]}}, "1 triggers"),
    "a trigger that is not there": ({"trigger": samples.trigger()}, "does not lie beside"),
    "images that are not there": (
        {
            "kind": "evaluate",
            "arguments": {"triggered": "/home/victim/photos"},
        },
        "carried a trigger",
    ),
    "a checkpoint of timm": (
        attack_report(model_options={"checkpoint_path": "x"}),
        "'model_options.checkpoint_path'",
    ),
    "weights of timm": (
        attack_report(model_options={"pretrained": "true"}),
        "'model_options.pretrained'",
    ),
    "a cache of timm": (
        attack_report(model_options={"cache_dir": "x"}),
        "'model_options.cache_dir'",
    ),
    "an architecture that is a path": (
        attack_report(model={"name": "timm/../evil"}),
        "'model' is no architecture",
    ),
    "a list that is none": (
        attack_report(model_options={"channels": "[__import__('os')]"}),
        "'model_options.channels'",
    ),
    "a picture of this machine": (
        attack_report(options={"image": "/etc/passwd"}),
        "'options.image'",
    ),
    "no training": (attack_report(training=None), "'training'"),
    "a training that is none": (attack_report(training={"epochs": [1]}), "'training.epochs'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_reports_are_refused_in_one_line(name):
    changes, said = HOSTILE[name]
    refused(ReportError, said, plan, **changes)


def test_what_was_made_in_memory_cannot_be_made_again():
    report = samples.report(trigger=None)
    fetched = Fetched("x", None, Path("/x"), report, ())
    refused(ReportError, "made from Python", make_plan, fetched=fetched, mine=Mine())


def test_the_command_of_the_report_is_not_run():
    evil = ["sh", "-c", "touch pwned", "--push-to", "evil/repo"]
    assert plan(origin={"command": evil}) == plan()


def test_what_the_reader_names_is_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "trigger").mkdir()
    local = {
        "model": samples.model(name="/somewhere/net", commit=None),
        "data": samples.data(name="/somewhere/images", revision=None),
        "arguments": {"trust_remote_code": True, "forget": ["trigger"], "method": "unlearn"},
    }
    mine = Mine("org/net", "images", (Path("trigger"),), "cpu", True)
    words = make_plan(fetched(**local), mine)
    assert words[:4] == [
        "purify", "org/net", "--trust-remote-code", f"--dataset={tmp_path / 'images'}",
    ]  # fmt: skip
    assert f"--forget={tmp_path / 'trigger'}" in words
    assert words[-1] == "--device=cpu"


def test_the_demo_is_run_again_by_its_seed():
    demo = samples.report(
        provenance=samples.provenance(command=["ngf-hub", "demo", "--output", "/etc"])
    )
    assert make_plan(Fetched("x", None, Path("/x"), demo, ()), Mine()) == ["demo", "--seed=7"]


def test_a_result_without_its_weights_is_not_run(tmp_path):
    demo = samples.report(provenance=samples.provenance(command=["ngf-hub", "demo"]))
    folder = samples.output_folder(tmp_path / "out", demo)
    (folder / "model.safetensors").unlink()
    refused(ModelError, "No model.safetensors", reproduce, source=folder, output=tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_rates_agree_where_their_intervals_overlap():
    half = Rate(count=50, n=100)
    assert overlap(half, Rate(count=60, n=100))
    assert not overlap(half, Rate(count=75, n=100))
    assert not overlap(half, Rate(count=100, n=200))
    assert overlap(half, Rate(count=100, n=200), same_n=False)
    assert overlap(None, None)
    assert not overlap(half, None)
