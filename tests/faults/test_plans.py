"""A small sample of what ``python -m benchmarks.faults`` runs, and the harness's own checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from tests.faults.checks import message, spoilt_cache
from tests.faults.plans import draw, draw_kill
from tests.faults.process import Ended
from tests.faults.world import COMMANDS
from tests.hub.server import LocalHub

PLANS, KILLS = 30, 6
REQUESTS = {
    name: [("HEAD", "/a/b/resolve/main/x"), ("GET", "/a/b/resolve/main/x")] for name in COMMANDS
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What became of some plans and kills, in processes of their own."""
    place = tmp_path_factory.mktemp("faults")
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.faults", "--plans", str(PLANS),
            "--kills", str(KILLS), "--slots", "3", "--results", str(place / "results.jsonl"),
            "--mild",
        ],
        env={name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (place / "results.jsonl").read_text().splitlines()
    return done.stdout, [json.loads(line)["told"] for line in lines]


@pytest.mark.slow
def test_every_plan_ends_right_or_says_what_failed_and_its_repeat_ends_right(results):
    printed, told = results
    assert [(one["plan"], one["misses"]) for one in told if one["misses"]] == []
    assert f"fault plans: {PLANS}" in printed
    assert "misses: 0" in printed
    plans = [one for one in told if one["plan"]["kill"] is None]
    assert len(plans) == PLANS
    # The faults came to pass, and some runs failed by them: else this would test nothing.
    assert sum(one["happened"] for one in plans) >= PLANS // 2
    endings = Counter(one["first"] for one in plans)
    assert set(endings) == {0, 2}
    assert all(one["line"] for one in plans if one["first"] == 2)


@pytest.mark.slow
def test_a_run_after_a_kill_ends_right(results):
    _, told = results
    kills = [one for one in told if one["plan"]["kill"] is not None]
    assert len(kills) == KILLS
    assert any(one["first"] == -9 for one in kills)
    assert [one["litter"] for one in kills if one["litter"]] == []


def test_plans_follow_from_the_seed():
    first, second = ([draw(n, seed, REQUESTS) for n in range(200)] for seed in (0, 1))
    assert first == [draw(n, 0, REQUESTS) for n in range(200)]
    assert first != second
    kinds = {kind for plan in first for kind in plan.kinds}
    assert {"drop", "corrupt", "full disk", "file limit", "status 503"} <= kinds
    assert all(0 < draw_kill(n, 0).kill <= 1 for n in range(50))


def test_a_cache_that_is_not_the_hubs_is_noticed(tmp_path):
    hub = LocalHub(tmp_path / "store")
    commit = hub.add_repo("acme/net", files={"config.json": "{}"})
    snapshot = tmp_path / "home/hub/models--acme--net/snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert spoilt_cache(hub, tmp_path / "home", killed=False) == []
    (snapshot / "config.json").write_text("[]")
    (snapshot / "gone").symlink_to("nowhere")
    assert len(spoilt_cache(hub, tmp_path / "home", killed=False)) == 2


@pytest.mark.parametrize(
    ("code", "err", "right"),
    [
        (0, "", True),
        (2, "Error: Cannot fetch it: no. Try again.\n", True),
        (2, "", False),
        (2, "Error: one\nError: two\n", False),
        (2, "Error: Unexpected KeyError: 'x'\n", False),
        (1, "Error: Cannot fetch it.\n", False),
        (0, "Traceback (most recent call last):\n", False),
    ],
)
def test_what_counts_as_one_line(code, err, right):
    ended = Ended(code, "", err, 1.0)
    assert (message(ended, COMMANDS["purify"]) == []) == right
    assert message(replace(ended, hung=True), COMMANDS["purify"]) == ["it hung"]
