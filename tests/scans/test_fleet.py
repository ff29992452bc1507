"""Scans on a real Ray cluster: a worker is killed, the driver is killed, and nothing is lost."""

import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ngf-hub[fleet]'")

from benchmarks.fleet import AUTHOR, Run, kept, make_models, publish, run, scan_workers
from ngf_hub.scans.engines.base import Fleet, Watch
from ngf_hub.scans.engines.local import LocalEngine
from ngf_hub.scans.engines.ray import RayEngine
from ngf_hub.scans.jobs import Wanted, plan
from ngf_hub.scans.store import ScanStore

COUNT = 8
COMPARED = 3
OPTIONS = {"kinds": ["margin"], "seed": 0, "device": "cpu"}


class Runs(NamedTuple):
    """Two runs, and what lay there after each."""

    first: Run
    before: dict
    second: Run
    after: dict
    spoilt: list
    left: list
    home: Path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(COUNT, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def runs(models, local_hub, tmp_path_factory):
    """A run whose driver is killed, and one, with a worker killed, that ends what it began."""
    home = tmp_path_factory.mktemp("home")
    publish(local_hub, models)
    config = (models[0] / "config.json").read_text()
    local_hub.add_repo(
        f"{AUTHOR}/broken",
        files={"config.json": config, "README.md": "---\npipeline_tag: image-classification\n---"},
        private=True,
    )
    # The paths of Ray's sockets must be short.
    scratch = Path(tempfile.mkdtemp(prefix="fleet", dir="/tmp"))
    environment = {**local_hub.env(home, local_hub.token), "TMPDIR": str(scratch)}
    words = ["--author", AUTHOR, "--evidence", "margin", "--device", "cpu", "--json"]
    words += ["--engine", "ray", "--workers", "1"]
    first = run(words, environment, home / "kept", kill_driver_at=3)
    (ray,) = scratch.glob("ngf-hub-ray-*")
    logs = [path for path in ray.rglob("*.log") if path.is_file()]
    assert logs
    spoilt = [path for path in ray.rglob("*") if _holds(path, local_hub.token)]
    before = kept(home / "kept")
    second = run(words, environment, home / "kept", kill_worker_at=5)
    left = [path.name for path in scratch.iterdir()]
    yield Runs(first, before, second, kept(home / "kept"), spoilt, left, home)
    shutil.rmtree(scratch, ignore_errors=True)


def _holds(path, secret):
    return path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes()


def test_the_killed_driver_leaves_whole_results(runs):
    assert runs.first.code == -9
    assert 3 <= len(runs.before) < COUNT
    assert all(report["verdict"] == "nothing found" for report in runs.before.values())


def test_its_cluster_ends_with_it(runs):
    _, alive = psutil.wait_procs(runs.first.cluster, timeout=30)
    assert not [process for process in alive if "raylet" in process.name()]
    assert not [process for process in alive if "scan" in process.name()]


def test_what_ray_wrote_goes_with_it(runs):
    assert not [name for name in runs.left if name.startswith("ngf-hub-ray-")]


def test_every_model_is_judged_once_and_nothing_is_lost(runs):
    second, known = runs.second, len(runs.before)
    assert second.code == 2, second.err  # the broken one
    assert f"9 models: {9 - known} to scan, {known} scanned before" in second.err
    assert sorted(runs.after) == [f"{AUTHOR}/model-{index:03}" for index in range(COUNT)]
    assert {name: runs.after[name] for name in runs.before} == runs.before


def test_a_killed_worker_costs_its_model_nothing(runs):
    assert runs.second.worker_killed
    assert runs.second.retried == 1
    assert "1 begun again because a worker died" in runs.second.err


def test_a_model_that_cannot_be_scanned_is_told_at_the_end_and_not_tried_again(runs):
    errors = [line for line in runs.second.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert runs.second.err.rstrip().splitlines()[-1] == errors[0]
    assert f"{AUTHOR}/broken" in errors[0]
    assert f"{AUTHOR}/broken: its worker died" not in runs.second.err


def test_standard_output_holds_the_results_alone(runs):
    content = json.loads(runs.second.out)
    assert content["summary"] == {"models": 9, "nothing found": 8, "failed": 1}
    (last,) = [scan for scan in content["scans"] if scan["name"] == f"{AUTHOR}/model-000"]
    assert last["provenance"]["command"] == [
        "ngf-hub", "scan", f"{AUTHOR}/model-000", "--revision", last["commit"], "--seed", "0",
        "--evidence", "margin",
    ]  # fmt: skip


def test_the_token_reached_the_workers_and_nothing_that_is_written(runs, local_hub):
    # That the private models were scanned says that it reached them.
    assert runs.spoilt == []
    kept_files = (runs.home / "kept").rglob("*")
    assert not [path for path in kept_files if _holds(path, local_hub.token)]
    assert local_hub.token not in runs.first.err + runs.second.err + runs.second.out


def test_both_engines_give_the_same_verdicts(runs, models, tmp_path):
    store = ScanStore(tmp_path / "kept")
    wanted = Wanted(options=dict(OPTIONS))
    jobs = plan(map(str, models[:COMPARED]), wanted, store)
    (tmp_path / "work").mkdir()
    for place, result in LocalEngine().run(jobs, wanted, store, tmp_path / "work"):
        report = runs.after[f"{AUTHOR}/{models[place].name}"]
        assert report["verdict"] == result.report.verdict
        for one, other in zip(report["findings"], result.report.findings, strict=True):
            assert (one["kind"], one["status"]) == (other.kind, other.status)
            if other.statistic is not None:
                assert one["statistic"] == pytest.approx(other.statistic, rel=1e-3)


def test_a_model_that_kills_every_worker_is_given_up(models, tmp_path):
    wanted = Wanted(options=dict(OPTIONS))
    told = []
    watch = Watch(told.append)
    jobs = plan([str(models[0])], wanted, None)
    over = threading.Event()

    def kill():
        while not over.is_set():
            for process in scan_workers(os.getpid()):
                process.kill()
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        engine = RayEngine(Fleet(workers=1, retries=1))
        ((place, result),) = engine.run(jobs, wanted, ScanStore(tmp_path), tmp_path, watch=watch)
    finally:
        over.set()
        thread.join()
    assert (place, result.report.verdict) == (0, "failed")
    assert "its worker died 2 times" in result.report.error
    assert (watch.retried, len(told), watch.flying) == (1, 1, {})
