"""``--num-processes``: what is launched answers as one command would."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ngf_hub.demo import untrained_classifier
from ngf_hub.triggers import make_trigger

DIGITS = [str(digit) for digit in range(10)]
DATA = ["--dataset", "digits", "--samples", "150", "--judge-samples", "60"]
PURIFY = ["purify", "model", *DATA, "--method", "ngf", "--trigger", "trigger"]
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("launching")
    untrained_classifier(DIGITS, seed=0).save(root / "model")
    make_trigger("patch:pattern=white,size=3", 1).save(root / "trigger")
    return root


def start(folder, words, launcher=()):
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "ngf_hub.cli", *words],
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def processes_below(parent):
    """The living processes that descend from one (Linux)."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        state, above = text.rpartition(")")[2].split()[:2]
        if state != "Z":
            parents[int(path.parent.name)] = int(above)
    found = {parent}
    while more := {pid for pid, above in parents.items() if above in found} - found:
        found |= more
    return found - {parent}


def report_of(printed):
    report = json.loads(printed)
    cost = report.pop("cost")
    report["provenance"].pop("created")
    return report, cost


@pytest.mark.slow
def test_the_result_is_that_of_one_process(folder):
    launcher = ["accelerate.commands.accelerate_cli", "launch", "--multi_gpu"]
    launcher += ["--num_processes", "2", "-m"]
    runs = {
        "one": start(folder, [*PURIFY, "--json", "--output", "one"]),
        "two": start(folder, [*PURIFY, "--json", "--output", "two", "--num-processes", "2"]),
        # The launchers of others work too.
        "accelerate": start(folder, [*PURIFY, "--json", "--output", "accelerate"], launcher),
    }
    printed = {}
    for name, run in runs.items():
        out, err = run.communicate()
        assert run.returncode == 0, err
        printed[name] = report_of(out)  # the one JSON document that there is
    alone, cost = printed["one"]
    assert cost["processes"] == 1
    weights = load_file(folder / "one" / "model.safetensors")
    for name in ("two", "accelerate"):
        report, cost = printed[name]
        assert cost["processes"] == 2
        for part in ("before", "after", "model", "data", "provenance", "trigger"):
            assert report[part] == alone[part]
        assert report["method"]["loss"] == pytest.approx(alone["method"]["loss"], rel=1e-3)
        for key, value in load_file(folder / name / "model.safetensors").items():
            torch.testing.assert_close(value, weights[key], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_errors_are_one_line_and_codes_are_kept(folder):
    class Harm:
        def __reduce__(self):
            return os.system, ("true",)

    (folder / "harmful").mkdir(exist_ok=True)
    (folder / "harmful" / "config.json").write_text('{"architecture": "resnet18"}')
    (folder / "harmful" / "pytorch_model.bin").write_bytes(pickle.dumps(Harm()))
    wrong = start(folder, [*PURIFY, "--layer", "nosuch", "--num-processes", "2"])
    flagged = start(folder, ["scan", "./harmful", "--num-processes=2", "--json"])
    out, err = wrong.communicate()
    assert (wrong.returncode, out) == (2, "")
    assert err.splitlines() == [
        "Error: No layer of test_resnet is called 'nosuch'. `ngf-hub layers` lists them all."
    ]
    out, err = flagged.communicate()
    assert flagged.returncode == 1, err
    assert [scan["verdict"] for scan in json.loads(out)["scans"]] == ["unsafe files"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks into /proc")
def test_ctrl_c_ends_all(folder):
    words = ["purify", "model", *DATA, "--layer", "*"]
    run = start(
        folder,
        [*words, "--method", "ft", "-o", "steps=100000", "--output", "never",
         "--num-processes", "2"],
    )  # fmt: skip
    for _ in range(1200):
        below = processes_below(run.pid)
        ready = [pid for pid in below if _has_loaded(pid)]
        if len(ready) == 2:
            break
        assert run.poll() is None
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 2
    assert out == ""
    assert err.splitlines() == [
        "Error: Interrupted. Nothing was half-written; run the same command again."
    ]
    assert not any(Path(f"/proc/{pid}").exists() for pid in below)
    assert not (folder / "never").exists()


def _has_loaded(pid):
    """Whether a worker has come as far as PyTorch: a signal finds it at work."""
    try:
        return "libtorch_cpu" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def test_what_cannot_be_launched_is_refused(folder):
    from ngf_hub.cli.launching import _without_option

    words = ["a", "--num-processes", "2", "b", "--num-processes=3", "--debug", "c"]
    assert _without_option(words) == ["a", "b", "c"]
    lines = {
        "one device": [*PURIFY, "--num-processes", "2", "--device", "cuda:0"],
        "mps": [*PURIFY, "--num-processes", "2", "--device", "mps"],
        "none": [*PURIFY, "--num-processes", "0"],
        "half": [*PURIFY, "--device", "cpu", "--precision", "fp16"],
        "memory": [*PURIFY, "--memory", "0"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.driver"],
        input=json.dumps({"cwd": str(folder), "lines": lines}),
        env=ENVIRONMENT,
        text=True,
        capture_output=True,
        check=True,
    )
    given = json.loads(done.stdout)
    assert {run["code"] for run in given.values()} == {2}
    assert all(len(run["err"].splitlines()) == 1 for run in given.values())
    assert "--device cuda" in given["one device"]["err"]
    assert "'mps'" in given["mps"]["err"]
    assert "num-processes" in given["none"]["err"]
    assert "fp16" in given["half"]["err"]
    inside = subprocess.run(
        [sys.executable, "-m", "ngf_hub.cli", *PURIFY, "--num-processes", "2"],
        cwd=folder,
        env={**ENVIRONMENT, "WORLD_SIZE": "2"},
        text=True,
        capture_output=True,
    )
    assert inside.returncode == 2
    assert "launcher has started the processes already" in inside.stderr
