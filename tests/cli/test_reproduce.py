"""``ngf-hub reproduce``: an honest result agrees, a falsified one does not.

A backdoored model and a dataset stand on a local Hub; the model is purified, published and
reproduced by the command line, the run in a process of its own as for a user.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ngf_hub.adapters import load_model
from ngf_hub.card import write_card
from ngf_hub.cure_report import Cure, Estimate, Verdict
from ngf_hub.data import load_images
from ngf_hub.demo import train_badnets
from ngf_hub.report import Rate, Report
from ngf_hub.reproducing.fetched import fetch
from ngf_hub.reproducing.plan import Mine
from ngf_hub.reproducing.result import Reproduction
from ngf_hub.reproducing.run import _compare
from ngf_hub.triggers import make_trigger
from tests.test_end_to_end import NAMES, parquet

SIDE = 16


DRIVER = """
import json, os, sys
from tests.cli.driver import run
asked, done = json.load(sys.stdin), {}
os.chdir(asked["cwd"])
for name, words in asked["lines"].items():
    sys.argv = ["ngf-hub", *words]  # what reports record
    done[name] = run(words)
json.dump(done, sys.stdout)
"""


def run(root, env, lines):
    """What each command line gave, one after another in one process."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps({"cwd": str(root), "lines": lines}),
        env={**env, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        text=True,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


ATTACK = [
    "attack", "--attack", "badnets", "--target", "3", "--model", "timm/test_resnet",
    "--model-option", "channels=[8,8,16,16]", "--image-size", str(SIDE), "--dataset", "digits",
    "--judge-samples", "100", "--samples", "120", "--epochs", "2", "--device", "cpu",
    "-o", "size=8", "--output", "attacked",
]  # fmt: skip
PURIFY = [
    "purify", "acme/net", "--dataset", "acme/digits", "--samples", "100", "--judge-samples",
    "200", "--method", "ft", "-o", "steps=30", "-o", "learning_rate=0.01", "-t", "badnets",
    "--target", "three", "--device", "cpu", "--output", "out", "--seed", "5",
    "--push-to", "acme/net-purified",
]  # fmt: skip


@pytest.fixture(scope="module")
def work(local_hub, tmp_path_factory):
    """The folder of a chain of commands, and what each of them gave."""
    root = tmp_path_factory.mktemp("reproduce")
    torch.manual_seed(0)
    network = timm.create_model(
        "test_resnet",
        num_classes=10,
        channels=(8, 8, 16, 16),
        pretrained_cfg_overlay={
            "input_size": (3, SIDE, SIDE), "crop_pct": 1.0, "label_names": NAMES,
        },
    )  # fmt: skip
    classifier = load_model(network)
    images = load_images("digits", samples=1000, judge_samples=None)
    train, judge = images.pixels_for(classifier, by_index=True)
    train_badnets(classifier, train, target=3, epochs=16)
    classifier.save(root / "net")
    local_hub.add_repo("acme/net", folder=root / "net")
    (root / "dataset" / "data").mkdir(parents=True)
    for split, pixels in (("train", train), ("test", judge)):
        batch, labels, _ = next(pixels.batches(300))
        pictures = (batch * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        file = root / "dataset" / "data" / f"{split}-00000-of-00001.parquet"
        parquet(pictures, labels.tolist(), file)
    local_hub.add_repo("acme/digits", repo_type="dataset", folder=root / "dataset")
    env = local_hub.env(root / "home", local_hub.token)
    made = run(root, env, {"purify": PURIFY, "attack": ATTACK})
    assert [made[name]["code"] for name in made] == [0, 0], made
    # The attack's report claims another accuracy than that of its random weights.
    measured = Report.read(root / "attacked").before.accuracy
    falsify(root / "attacked", "before", "accuracy", far_from(measured))
    # What cannot be run: no batch holds no image.
    shutil.copytree(root / "out", root / "broken")
    origin = Report.read(root / "broken").provenance
    arguments = {**origin.arguments, "batch_size": 0}
    rewrite(root / "broken", provenance=origin.model_copy(update={"arguments": arguments}))
    before = {path.name for path in root.iterdir()}
    lines = {
        "honest": [
            "reproduce", "acme/net-purified", "--device", "cpu", "--output", "again", "--json",
        ],
        "falsified": ["reproduce", "attacked", "--device", "cpu"],
        "cannot be run": ["reproduce", "broken", "--output", "nothing"],
        "into another's": ["reproduce", "acme/net-purified", "--output", "net"],
        "no report": ["reproduce", "acme/net"],
        "no repository": ["reproduce", "acme/nothing"],
    }  # fmt: skip
    results = {**made, **run(root, env, lines)}
    assert {path.name for path in root.iterdir()} == before | {"again"}
    return root, results


def rewrite(folder, **changes):
    """The report with something else in it, and the card of that."""
    Report.read(folder).model_copy(update=changes).write(folder)
    write_card(folder)


def far_from(rate):
    """A rate whose interval shares nothing with another one's, whatever the runs came to here."""
    return Rate(count=0 if 2 * rate.count > rate.n else rate.n, n=rate.n)


def falsify(folder, when, field, rate):
    """The report with another rate."""
    measured = getattr(Report.read(folder), when).model_copy(update={field: rate})
    rewrite(folder, **{when: measured})


def test_an_honest_result_agrees_bit_for_bit(work, local_hub):
    _, results = work
    assert results["honest"]["code"] == 0, results["honest"]["err"]
    told = Reproduction.model_validate_json(results["honest"]["out"])
    assert told.agrees
    assert told.weights.equal
    assert (told.source, told.commit) == (
        "acme/net-purified",
        local_hub.commit("acme/net-purified").oid,
    )
    names = [figure.name for figure in told.figures]
    assert "Clean accuracy (ACC), before" in names
    assert "Attack success rate (ASR), after" in names
    assert all(figure.published == figure.reproduced for figure in told.figures)
    assert told.versions == {}
    assert told.report.model.commit == local_hub.commit("acme/net").oid
    assert told.report.data.revision == local_hub.commit("acme/digits", repo_type="dataset").oid
    # The run did what the published one did, and did something.
    assert told.report.method.change > 0
    assert told.report.before.attack_success.value > 0.3  # a short training, there to be measured
    assert told.report.after.accuracy.value > 0.8
    assert (told.report.provenance.seed, told.report.method.options["steps"]) == (5, 30)


def test_provenance_is_there_and_right(work, local_hub):
    report = json.loads(local_hub.read("acme/net-purified", "report.json"))
    origin = report["provenance"]
    commits = [
        local_hub.commit("acme/net").oid,
        local_hub.commit("acme/digits", repo_type="dataset").oid,
    ]
    assert [report["model"]["commit"], report["data"]["revision"]] == commits
    assert origin["seed"] == 5
    assert origin["tool_version"] == version("ngf-hub")
    for package in ("torch", "timm", "numpy", "huggingface_hub", "curvlinops-for-pytorch"):
        assert origin["versions"][package] == version(package)
    weights = (work[0] / "net" / "model.safetensors").read_bytes()
    assert report["model"]["files"] == {"model.safetensors": hashlib.sha256(weights).hexdigest()}
    kept = [word for word in PURIFY if word not in ("--output", "out", "--push-to")][:-1]
    kept = ["ngf-hub", *kept, "--revision", commits[0], "--dataset-revision", commits[1]]
    assert origin["command"] == kept
    card = local_hub.read("acme/net-purified", "README.md").decode()
    stated = [*commits, f"torch {version('torch')}", "| Seed | 5 |", "--seed 5", "--method ft"]
    assert [text for text in stated if text not in card] == []


def test_what_is_kept(work):
    root, results = work
    kept = json.loads((root / "again" / "reproduction.json").read_text())
    assert kept == json.loads(results["honest"]["out"])
    one, other = (root / "out" / "model.safetensors", root / "again/result/model.safetensors")
    assert one.read_bytes() == other.read_bytes()
    assert {path.name for path in (root / "again").iterdir()} == {"reproduction.json", "result"}


def test_a_falsified_report_ends_with_exit_code_1(work):
    """From end to end, on an attack from random weights."""
    told = work[1]["falsified"]
    assert told["code"] == 1, told["err"]
    assert "It does not agree: Clean accuracy (ACC)." in told["out"]
    assert "The published weights are those of the run, bit for bit." in told["out"]


def test_the_card_of_an_attack_can_be_repeated(work):
    card = (work[0] / "attacked" / "README.md").read_text()
    assert "--output backdoored" in card
    assert "the one that this model was backdoored with" in card


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cannot be run", "The run ended with exit code 2: Invalid value for '--batch-size'"),
        ("into another's", "holds no reproduction.json"),
        ("no report", "holds no report.json"),
        ("no repository", "no such repository"),
    ],
)
def test_errors_are_one_line_with_exit_code_2(work, name, said):
    result = work[1][name]
    assert result["code"] == 2
    assert said in result["err"]
    assert len(result["err"].strip().splitlines()) == 1


@pytest.fixture
def published(work, tmp_path):
    """A copy of the published folder to spoil, and what gives the comparison with the run."""
    root, _ = work
    folder = Path(shutil.copytree(root / "out", tmp_path / "spoilt"))

    def compare(result=root / "again" / "result") -> Reproduction:
        place = tmp_path / "fetched"
        place.mkdir()
        fetched = fetch(str(folder), place, revision=None, token=None)
        # The digits' files are on a Hub that this process does not talk to.
        mine = Mine(dataset=str(root / "dataset"), device="cpu")
        return _compare(fetched, result, mine, 0.0, lambda items, *_: items)

    return folder, compare


def test_a_falsified_rate_disagrees(published):
    folder, compare = published
    measured = Report.read(folder).after.attack_success
    falsify(folder, "after", "attack_success", far_from(measured))
    told = compare()
    assert not told.agrees
    assert told.disagreements() == ["Attack success rate (ASR), after"]
    assert told.weights.equal


def test_a_falsified_n_disagrees(published):
    folder, compare = published
    # An interval so wide that it overlaps with any other.
    falsify(folder, "after", "attack_success", Rate(count=3, n=5))
    assert compare().disagreements() == ["Attack success rate (ASR), after"]


def test_a_falsified_card_disagrees(published):
    folder, compare = published
    card = folder / "README.md"
    value = Report.read(folder).after.attack_success.value
    assert f"value: {value}\n" in card.read_text()
    card.write_text(card.read_text().replace(f"value: {value}\n", "value: 0.001\n"))
    assert compare().disagreements() == ["Figures on the card"]


def test_another_source_disagrees(published):
    folder, compare = published
    model = Report.read(folder).model
    rewrite(folder, model=model.model_copy(update={"files": {"model.safetensors": "0" * 64}}))
    assert compare().disagreements() == ["SHA-256 of the source's model.safetensors"]


def test_a_true_report_beside_other_weights_disagrees(published):
    folder, compare = published
    weights = load_file(folder / "model.safetensors")
    head = next(name for name in weights if name.startswith("fc.weight"))
    weights[head] = weights[head].flip(0)
    save_file(weights, folder / "model.safetensors")
    told = compare()
    assert not told.agrees
    assert (told.weights.equal, told.weights.tensors) == (False, 1)
    assert "Clean accuracy (ACC), of the published weights" in told.disagreements()


def test_recovered_triggers_must_not_work_on_the_published_weights(work, published, tmp_path):
    """No true trigger is known: the run's own triggers tell that other weights were published."""
    folder, compare = published
    result = Path(shutil.copytree(work[0] / "again" / "result", tmp_path / "result"))
    make_trigger("badnets", 3).save(result / "recovered" / "unseen" / "1-patch")
    rate = {"before": Rate(count=190, n=200), "after": Rate(count=2, n=200)}
    cure = Cure(
        state="purified",
        suspected=Verdict(verdict="backdoored", target=3),
        estimates=[Estimate(family="patch", target=3, seen=False, **rate)],
    )
    for place in (folder, result):
        rewrite(place, cure=cure)
    assert compare(result).agrees
    shutil.rmtree(tmp_path / "fetched")
    shutil.copy(work[0] / "net" / "model.safetensors", folder / "model.safetensors")
    told = compare(result)
    assert not told.agrees
    assert "ASR of recovered triggers not told of, of the published weights" in told.disagreements()
    # They are other triggers than those of the published run, whose rates are not judged then.
    shown = [figure for figure in told.figures if figure.agrees is None]
    assert [figure.name for figure in shown] == [
        "ASR of recovered triggers not told of, before",
        "ASR of recovered triggers not told of, after",
    ]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"state": "not established"}, "State"),
        ({"suspected": Verdict(verdict="backdoored", target=7)}, "Suspected class"),
    ],
)
def test_what_a_cure_claims_is_compared(work, published, tmp_path, changes, name):
    folder, compare = published
    result = Path(shutil.copytree(work[0] / "again" / "result", tmp_path / "result"))
    cure = Cure(state="purified", suspected=Verdict(verdict="backdoored", target=3))
    rewrite(folder, cure=cure)
    rewrite(result, cure=cure.model_copy(update=changes))
    assert compare(result).disagreements() == [name]


def test_weights_that_differ_by_rounding_agree(published):
    folder, compare = published
    weights = load_file(folder / "model.safetensors")
    weights = {
        name: value * (1 + 1e-6) if value.is_floating_point() else value
        for name, value in weights.items()
    }
    save_file(weights, folder / "model.safetensors")
    told = compare()
    assert told.agrees, told.disagreements()
    assert not told.weights.equal
    assert 1e-7 < told.weights.difference < 1e-5
    assert told.measured[0].reproduced.n == 200


def test_versions_that_differ_are_named(published):
    folder, compare = published
    origin = Report.read(folder).provenance
    versions = {**origin.versions, "torch": "1.13.0"}
    rewrite(folder, provenance=origin.model_copy(update={"versions": versions}))
    told = compare()
    assert told.agrees
    assert told.versions == {"torch": ("1.13.0", version("torch"))}
