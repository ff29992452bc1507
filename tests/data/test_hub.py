"""Datasets of a Hub, by the real clients in a process of their own.

The Hub is the local one. What is asked of it and sent by it is part of the
claims: one commit, no other split's files, and of a large split only a part.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .pictures import CLASSES, encode, picture, table, write_parquet

# One process does all of a list of tasks: it takes seconds to import what it needs.
WORKER = """
import json, sys
from ngf_hub.data import draw, load_images
from ngf_hub.errors import NgfHubError
from tests.data.pictures import numbers_of

for options in json.load(sys.stdin):
    draw.STREAM_ABOVE = options.pop("stream_above", 2**31)
    try:
        clean = load_images(**options)
        answer = {
            "tune": numbers_of(clean.tune),
            "judge": numbers_of(clean.judge),
            "labels": clean.judge.labels.tolist(),
            "names": clean.judge.class_names,
            "info": clean.info.model_dump(),
        }
    except NgfHubError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    print(json.dumps(answer), flush=True)
"""
ROWS, SHARDS = 40, 24
SOME = {"samples": 10, "judge_samples": 20}
MANY = {"dataset": "acme/many", "split": "test", "judge_split": "contrast", **SOME}
FOLDERS = {"dataset": "acme/folders", "samples": 5, "judge_samples": 4}
WRONG_TOKEN = "hf_" + "w" * 30
ERRORS = {
    "missing": ({"dataset": "acme/nothing"}, "HubError", "no such repository, or it is private"),
    "typo": ({"dataset": "cifar-10"}, "HubError", "The short names are cifar10, cifar100"),
    "private": ({"dataset": "acme/private"}, "HubError", "Log in with `hf auth login`"),
    "gated": ({"dataset": "acme/gated"}, "HubError", "access to it is gated. Ask for access"),
    "revision": ({**MANY, "revision": "v9"}, "HubError", "no such revision"),
    "config": ({**MANY, "config": "x"}, "DataError", "no configuration 'x'"),
    "split": ({**MANY, "split": "val"}, "DataError", "no split 'val'"),
    "script": ({"dataset": "acme/script"}, "DataError", "--dataset-revision refs/convert/parquet"),
    "text": ({"dataset": "acme/text"}, "DataError", "no images that can be read"),
    "elsewhere": ({"dataset": "acme/elsewhere"}, "DataError", "don't belong to acme/elsewhere"),
}


@dataclass
class Session:
    """What a process answered to each task, what it wrote, and the Hub's log of it."""

    answers: dict
    output: str
    log: object
    home: Path


def ask(hub, home, tasks, **env):
    with hub.log.record() as log:
        done = subprocess.run(
            [sys.executable, "-c", WORKER],
            input=json.dumps(list(tasks.values())),
            env={**hub.env(home), "OMP_NUM_THREADS": "1", **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    named = dict(zip(tasks, answers, strict=True))
    return Session(named, done.stdout + done.stderr, log, home)


@pytest.fixture(scope="module")
def repos(local_hub, tmp_path_factory):
    """Fills the Hub; gives the first of the two commits of ``acme/many``."""

    def add(name, files, **options):
        return local_hub.add_repo(f"acme/{name}", files=files, repo_type="dataset", **options)

    folder = tmp_path_factory.mktemp("tables")

    def parquet(name, numbers, **options):
        path = folder / name
        size = options.pop("size", 8)
        return write_parquet(path, table(numbers, size=size), **options)

    large = {}
    for shard in range(SHARDS):
        name = f"data/train-{shard:05d}-of-{SHARDS:05d}.parquet"
        numbers = range(ROWS * shard, ROWS * (shard + 1))
        large[name] = parquet(name, numbers, size=64, row_group_size=10)
    large["data/test-00000-of-00001.parquet"] = parquet("l.parquet", range(5000, 5060))
    add("large", large)

    starts = {"train": 0, "test": 5000, "contrast": 6000}
    files = {
        f"data/{split}-00000-of-00001.parquet": parquet(f"{split}.parquet", range(n, n + 60))
        for split, n in starts.items()
    }
    old = add("many", {**files, "README.md": "---\nlicense: cc-by-4.0\n---\n"})
    local_hub.add_commit("acme/many", {"notes.txt": "newer"}, repo_type="dataset")

    one = {"data/train.parquet": parquet("one.parquet", range(20))}
    add("gated", one, gated=True)
    add("private", one, private=True)
    add("script", {"script.py": "raise SystemExit('this must not run')"})
    add("text", {"README.md": "# Nothing"})
    config = "config_name: default\n  data_files: hf://datasets/acme/many/data/test*"
    add("elsewhere", {"README.md": f"---\nconfigs:\n- {config}\n---\n"})
    add(
        "folders",
        {
            f"{split}/{CLASSES[n % 3]}/{n}.png": encode(picture(n))
            for split, numbers in {"train": range(9), "test": range(9, 15)}.items()
            for n in numbers
        },
    )
    return old


@pytest.fixture(scope="module")
def online(local_hub, repos, tmp_path_factory):
    token = local_hub.token
    few = {"samples": 5, "judge_samples": 5}
    tasks = {
        "some": MANY,
        "pinned": {**MANY, "revision": repos, "seed": 1},
        "large": {"dataset": "acme/large", **SOME, "stream_above": 10**6},
        "folders": FOLDERS,
        "folders streamed": {**FOLDERS, "streaming": True},
        "private with token": {"dataset": "acme/private", "token": token, **few},
        "private streamed": {
            "dataset": "acme/private",
            "token": token,
            **few,
            "streaming": True,
        },
        "gated with token": {"dataset": "acme/gated", "token": token, **few},
        "not granted": {"dataset": "acme/gated", "token": local_hub.tokens["bob"]},
        "wrong token": {"dataset": "acme/gated", "token": WRONG_TOKEN},
        **{name: options for name, (options, _, _) in ERRORS.items()},
    }
    session = ask(local_hub, tmp_path_factory.mktemp("home"), tasks)
    # As if another tool had fetched it: what this one wrote down about it is gone.
    shutil.rmtree(session.home / "assets" / "ngf-hub" / "acme--folders")
    return session


def test_only_the_needed_splits_are_fetched(online):
    answer = online.answers["some"]
    assert set(answer["tune"]) <= set(range(5000, 5060))
    assert set(answer["judge"]) <= set(range(6000, 6060))
    assert answer["labels"] == [n % 3 for n in answer["judge"]]
    assert answer["names"] == CLASSES
    fetched = {Path(entry.path).name for entry in online.log.select("GET", "acme/many/resolve/")}
    assert fetched - {"README.md"} == {
        "test-00000-of-00001.parquet",
        "contrast-00000-of-00001.parquet",
    }


def test_the_commit_and_licence_are_known(online, local_hub, repos):
    head = local_hub.commit("acme/many", repo_type="dataset").oid
    infos = [online.answers[name]["info"] for name in ("some", "pinned")]
    assert [info["revision"] for info in infos] == [head, repos]
    assert head != repos
    assert infos[0]["name"] == "acme/many"
    assert infos[0]["licence"] == "cc-by-4.0"


def test_of_a_large_split_only_a_part_is_fetched(online, local_hub):
    answer = online.answers["large"]
    assert (len(set(answer["tune"])), len(set(answer["judge"]))) == (10, 20)
    assert set(answer["tune"]) <= set(range(ROWS * SHARDS))
    files = local_hub.commit("acme/large", repo_type="dataset").files
    whole = sum(entry.size for path, entry in files.items() if "train" in path)
    assert whole > 10**7
    assert 0 < online.log.bytes_sent("acme/large/resolve/") < whole / 4
    parts = online.log.select("GET", "/train-")
    assert len({entry.path for entry in parts}) < SHARDS
    assert all(entry.range for entry in parts if "acme/large" in entry.path)
    (test,) = [e for e in online.log.select("GET", "/test-") if "acme/large" in e.path]
    assert test.range is None, "the small split is fetched, and cached, whole"


def test_class_folders(online):
    for name in ("folders", "folders streamed"):
        answer = online.answers[name]
        assert set(answer["tune"]) <= set(range(9))
        assert set(answer["judge"]) <= set(range(9, 15))
        assert answer["labels"] == [n % 3 for n in answer["judge"]]
        assert answer["names"] == CLASSES


def test_a_token_opens_doors_and_is_not_shown(online, local_hub):
    for name in ("private with token", "private streamed", "gated with token"):
        assert len(online.answers[name]["tune"]) == 5
    assert "access to it is gated" in online.answers["not granted"]["error"]
    assert online.answers["wrong token"]["kind"] == "HubError"
    secrets = [local_hub.token, local_hub.tokens["bob"], WRONG_TOKEN]
    kept = [path.read_bytes() for path in online.home.rglob("*") if path.is_file()]
    assert len(kept) > 10
    for secret in secrets:
        assert secret not in online.output
        assert not any(secret.encode() in content for content in kept)


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_line_each(online, name):
    _, kind, said = ERRORS[name]
    answer = online.answers[name]
    assert answer.get("kind") == kind, answer
    assert said in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("env", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_without_a_network_the_cache_is_read(online, local_hub, env):
    tasks = {
        "some": MANY,
        "streamed": {**MANY, "streaming": True},
        "other split": {**MANY, "judge_split": "train"},
        "never": {"dataset": "acme/never"},
        "folders": FOLDERS,
    }
    session = ask(local_hub, online.home, tasks, **env)
    assert not session.log.entries
    before, now = online.answers["some"], session.answers["some"]
    assert (now["tune"], now["judge"]) == (before["tune"], before["judge"])
    assert now["info"]["revision"] == before["info"]["revision"]
    assert now["info"]["licence"] == "cc-by-4.0"
    assert "read from the cache" in now["info"]["notes"][0]
    assert session.answers["streamed"] == now, "what is in the cache need not be streamed"
    for key in ("tune", "judge", "labels", "names"):
        assert session.answers["folders"][key] == online.answers["folders"][key]
    for name, said in (
        ("other split", "lacks files of dataset acme/many (train)"),
        ("never", "Cannot find dataset acme/never"),
    ):
        assert session.answers[name]["kind"] == "HubError"
        assert said in session.answers[name]["error"]
        assert "\n" not in session.answers[name]["error"]
