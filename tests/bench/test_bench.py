"""The matrix of attacks and methods: what is run, what is resumed, what the tables say."""

import json
import os
import subprocess
import sys

import pytest

from ngf_hub.bench import run as running
from ngf_hub.bench.plan import Matrix
from ngf_hub.bench.results import Row, details, row_of, summary
from ngf_hub.report import Measurement, Rate


def measured(acc, asr=None, ra=None, n=100):
    def rate(count):
        return None if count is None else Rate(count=count, n=n)

    return Measurement(accuracy=rate(acc), attack_success=rate(asr), recovered_accuracy=rate(ra))


def row(method, attack, before, after, **more):
    given = {"model": "m", "seed": 0, "layers": ["a"], "seconds": 2.0, "memory": 2**30}
    return Row(method=method, attack=attack, before=before, after=after, **(given | more))


def test_means_and_worst_of_a_method():
    rows = [
        row("ft", "badnets", measured(90, 100, 0), measured(88, 40, 50)),
        row("ft", "blend", measured(90, 100, 0), measured(89, 20, 70), seconds=4.0),
        row("clp", "badnets", measured(90, 100, 0), measured(80, 1, 79)),
        row("ft", "none", measured(91), measured(91)),
    ]
    lines = summary(rows).splitlines()
    assert lines[2] == "| ft | 3 | 30.0 (40.0) | 1.0 (2.0) | 60.0 (50.0) | 2.7 | 1.0 |"
    assert lines[3] == "| clp | 1 | 1.0 (1.0) | 10.0 (10.0) | 79.0 (79.0) | 2.0 | 1.0 |"
    cells = details(rows).splitlines()
    assert cells[2] == "| m | badnets | ft | 90.0 → 88.0 | 100.0 → 40.0 | 50.0 | 1 | 2.0 |"
    assert cells[-1] == "| m | none | ft | 91.0 → 91.0 | – → – | – | 1 | 2.0 |"


def test_every_method_meets_every_model(tmp_path):
    matrix = Matrix(
        tmp_path, "digits", ["timm/a", "org/b"], ["badnets", "sig"], ["ft", "clp"], (0, 1)
    )
    victims = matrix.victims()
    assert [victim.folder.name for victim in victims] == [
        "timm-a-badnets", "timm-a-sig", "org-b-badnets", "org-b-sig",
    ]  # fmt: skip
    cells = [cell for victim in victims for cell in matrix.cells(victim)]
    assert len({cell.folder for cell in cells}) == 16
    words = cells[0].line
    assert words[words.index("--trigger") + 1] == str(victims[0].folder / "trigger")


def test_a_model_that_fails_has_no_cells_and_the_others_run(tmp_path, monkeypatch):
    started = []

    def start(line, log):
        started.append(line)
        log.write_text("Error: no such thing\n")
        return 2 if "badnets" in line else 0

    monkeypatch.setattr(running, "start", start)
    matrix = Matrix(tmp_path, "digits", ["timm/a"], ["badnets", "sig"], ["ft"])
    done, failures = running.run(matrix)
    assert [line[0] for line in started] == ["attack", "attack", "purify"]
    assert [cell.victim.attack for cell in done] == ["sig"]
    assert [failure.said for failure in failures] == ["Error: no such thing"]


@pytest.fixture(scope="module")
def benched(tmp_path_factory):
    """A small matrix, run twice."""
    root = tmp_path_factory.mktemp("bench")
    words = [
        "bench", "--dataset", "digits", "--models", "timm/test_resnet", "--attacks", "badnets",
        "--methods", "ngf,clp", "--samples", "100", "--judge-samples", "100",
        "--attack-option", "--epochs 3 --image-size 16", "--device", "cpu", "--output", "out",
    ]  # fmt: skip
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "300"}

    def run(*more):
        command = [sys.executable, "-m", "ngf_hub.cli", *words, *more]
        return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)

    return run(), run("--json"), root / "out"


@pytest.mark.slow
def test_a_matrix_is_run_once_and_told_again(benched):
    first, again, output = benched
    assert first.returncode == 0, first.stderr
    assert again.returncode == 0, again.stderr
    rows = json.loads(again.stdout)
    assert rows == json.loads((output / "results.json").read_text())
    assert [entry["method"] for entry in rows] == ["ngf", "clp"]
    assert rows[0]["before"]["attack_success"]["value"] > 0.5
    assert rows[0]["before"] == rows[1]["before"]
    logs = sorted(path.stat().st_mtime_ns for path in (output / "logs").iterdir())
    assert max(logs) <= (output / "results.md").stat().st_mtime_ns
    assert (output / "results.png").stat().st_size > 5000


@pytest.mark.slow
def test_the_row_of_a_cell_is_its_report(benched):
    output = benched[2]
    matrix = Matrix(output, "digits", ["timm/test_resnet"], ["badnets"], ["ngf"])
    (victim,) = matrix.victims()
    (cell,) = matrix.cells(victim)
    report = json.loads(cell.report.read_text())
    made = row_of(cell)
    assert made.after.accuracy.value == report["after"]["accuracy"]["value"]
    assert made.seconds == report["cost"]["seconds"]["tune"]
    (given,) = Matrix(output, "digits", methods=["ngf"], given=[victim.folder]).victims()
    assert (given.attack, given.line) == ("badnets", None)
