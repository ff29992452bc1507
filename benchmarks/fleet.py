"""Many models on a Ray cluster while a worker and then the driver are killed: what is lost.

    python -m benchmarks.fleet [--models 64 --workers 2] [--kills]

The models are small networks with random weights, in private repositories of a
Hub on localhost. Prints a table of the local engine, of Ray, and of Ray with
the kills, or with ``--kills`` the last alone. Seconds are of the whole command,
Python's and Ray's start included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.hub.server import LocalHub

AUTHOR = "acme"
CLASSES, SIDE = 4, 8
CARD = "---\npipeline_tag: image-classification\n---\n"
POLL = 0.05
PATIENCE = 900


def make_models(count: int, folder: Path) -> list[Path]:
    """Small networks with random weights, each in a folder of its own."""
    import timm
    import torch

    from ngf_hub.adapters import load_model

    overlay = {
        "input_size": (3, SIDE, SIDE),
        "crop_pct": 1.0,
        "label_names": [f"class {index}" for index in range(CLASSES)],
    }
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        network = timm.create_model(
            "test_resnet", num_classes=CLASSES, pretrained_cfg_overlay=overlay
        )
        place = folder / f"model-{seed:03}"
        place.mkdir(parents=True)
        load_model(network).save(place)
        made.append(place)
    return made


def publish(hub: LocalHub, models: Sequence[Path]) -> None:
    """Put each into a private repository, as an image classifier."""
    for place in models:
        hub.add_repo(f"{AUTHOR}/{place.name}", folder=place, private=True)
        hub.add_commit(f"{AUTHOR}/{place.name}", {"README.md": CARD})


def kept(cache: Path) -> dict[str, dict]:
    """The reports that the store holds, by the model's name."""
    reports = {}
    for path in (cache / "scans").glob("[!.]*/scan.json"):
        report = json.loads(path.read_text(encoding="utf-8"))
        assert report["name"] not in reports, "a model was kept twice"
        reports[report["name"]] = report
    return reports


def scan_workers(driver: int) -> list[psutil.Process]:
    """The processes of a driver's own cluster that scan a model now."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if process.cmdline()[0].startswith("ray::ngf-hub scan"):
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


@dataclass
class Run:
    """What one run of the command gave.

    Attributes:
        code: The exit code; negative where it was killed.
        err: What it wrote on standard error.
        seconds: Wall time.
        worker_killed: Whether a worker was killed.
        cluster: The processes of its cluster when the driver was killed.
    """

    code: int
    out: str
    err: str
    seconds: float
    worker_killed: bool = False
    cluster: Sequence[psutil.Process] = ()

    @property
    def retried(self) -> int:
        """How often a scan was begun again because its worker died."""
        return len(re.findall("it is scanned again", self.err))


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    cache: Path,
    *,
    kill_worker_at: int | None = None,
    kill_driver_at: int | None = None,
) -> Run:
    """Run ``ngf-hub scan``, and kill as asked once the store holds so many results."""
    start, killed, cluster = time.monotonic(), False, []
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(
            [sys.executable, "-m", "ngf_hub.cli", "scan", *words],
            env={**environment, "NGF_HUB_CACHE": str(cache)},
            stdout=out,
            stderr=err,
        ) as driver,
    ):
        while driver.poll() is None:
            if time.monotonic() - start > PATIENCE:
                driver.terminate()
            done = len(list((cache / "scans").glob("[!.]*/scan.json")))
            if kill_worker_at is not None and not killed and done >= kill_worker_at:
                for process in scan_workers(driver.pid)[:1]:
                    process.kill()
                    killed = True
            if kill_driver_at is not None and done >= kill_driver_at:
                cluster = psutil.Process(driver.pid).children(recursive=True)
                os.kill(driver.pid, signal.SIGKILL)
                break
            time.sleep(POLL)
        code = driver.wait()
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        return Run(code, out.read(), err.read(), seconds, killed, cluster)


def difference(one: Mapping[str, dict], other: Mapping[str, dict]) -> tuple[int, float]:
    """How many verdicts differ, and the largest difference of any p-value."""
    verdicts, largest = 0, 0.0
    for name, report in one.items():
        again = other[name]
        verdicts += report["verdict"] != again["verdict"]
        for finding, same in zip(report["findings"], again["findings"], strict=True):
            if finding["p_value"] is not None:
                largest = max(largest, abs(finding["p_value"] - same["p_value"]))
    return verdicts, largest


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", action="store_true", help="without the two runs to compare")
    given = parser.parse_args()
    count = given.models
    with tempfile.TemporaryDirectory() as root, LocalHub(Path(root, "hub")) as hub:
        publish(hub, make_models(count, Path(root, "models")))
        names = ("local", "ray", "kills")
        # A user of their own for each, so that each downloads all.
        users = {name: hub.env(Path(root, "home", name), hub.token) for name in names}
        caches = {name: Path(root, name) for name in names}
        words = ["--author", AUTHOR, "--evidence", "margin", "--device", "cpu", "--json"]
        fleet = [*words, "--engine", "ray", "--workers", str(given.workers)]

        print(f"{'':34}{'models':>8}{'seconds':>9}{'retried':>9}{'rejudged':>10}{'lost':>6}")

        def row(name: str, judged: int, run: Run, rejudged: int, lost: int) -> None:
            figures = f"{run.seconds:>9.1f}{run.retried:>9}{rejudged:>10}{lost:>6}"
            print(f"{name:34}{judged:>8}{figures}", flush=True)

        if not given.kills:
            alone = run(words, users["local"], caches["local"])
            assert alone.code == 0, alone.err
            row("local", len(kept(caches["local"])), alone, 0, count - len(kept(caches["local"])))
            together = run(fleet, users["ray"], caches["ray"])
            assert together.code == 0, together.err
            row("ray", len(kept(caches["ray"])), together, 0, count - len(kept(caches["ray"])))
        first = run(
            fleet,
            users["kills"],
            caches["kills"],
            kill_worker_at=count // 4,
            kill_driver_at=count // 2,
        )
        before = kept(caches["kills"])
        row("ray, a worker and the driver killed", len(before), first, 0, 0)
        _, alive = psutil.wait_procs(first.cluster, timeout=60)
        second = run(fleet, users["kills"], caches["kills"])
        assert (first.code, second.code) == (-signal.SIGKILL, 0), first.err + second.err
        after = kept(caches["kills"])
        changed = sum(report != after.get(name) for name, report in before.items())
        row("ray, started again", len(after) - len(before), second, changed, count - len(after))
        print(f"of the killed driver's cluster {len(alive)} processes were left after 60 s")
        if not given.kills:
            verdicts, largest = difference(kept(caches["local"]), after)
            print(f"local against ray: {verdicts} verdicts differ, p-values by up to {largest:.2g}")


if __name__ == "__main__":
    main()
