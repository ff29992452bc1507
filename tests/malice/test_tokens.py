"""No token is ever printed or written: every command, with a token in every place it may stand.

A command that is added to the application must be added to :func:`lines` here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib

import pytest
import typer

from ngf_hub.cli.app import app
from tests.data.pictures import write_class_folders

NAMES = ["cat", "dog", "frog"]
CPU = ["--device", "cpu"]


def lines(root, token, images):
    """Command lines by name. The token is in an address, an id, a name and a path of each."""
    address = f"https://alice:{token}@127.0.0.1:9/acme/x?token={token}"
    small = ["--samples", "6", "--judge-samples", "6", "--classes-by-index", *CPU]
    tune = ["--method", "ngf", "-o", "steps=2", *small]
    return {
        "demo": ["demo", f"--seed={token}", "--debug"],
        "scan": ["scan", "acme/good", "-e", "patch", "--output", "scanned", *CPU],
        "scan of an address": ["scan", address, *CPU, "--debug"],
        "scan of many": [
            "scan",
            address,
            "acme/good",
            f"acme/{token}",
            "-e",
            "patch",
            "--json",
            "--output",
            "many",
            *CPU,
        ],
        "purify": ["purify", "acme/good", "-d", images, *tune, "--output", "out", "--json"],
        "purify by an address": ["purify", address, "-d", address, "--output", "o", "--debug"],
        "purify with an option": [
            "purify",
            "acme/good",
            "-d",
            images,
            "-o",
            f"steps={token}",
            "--output",
            "o",
            *small,
            "--debug",
        ],
        "evaluate": ["evaluate", "acme/good", "-d", "acme/images", *small[2:], "--json"],
        "evaluate of a branch": [
            "evaluate",
            "acme/good",
            "-d",
            address,
            "--revision",
            token,
            "--debug",
        ],
        "evaluate data": ["evaluate", "acme/good", "-d", address, "--debug", *CPU],
        "evaluate a trigger": [
            "evaluate",
            "acme/good",
            "-d",
            images,
            *small[2:],
            "-t",
            f"patch:image={address}",
            "--target",
            "1",
            "--debug",
        ],
        "attack": [
            "attack",
            "--attack",
            "badnets",
            "--target",
            "1",
            "-d",
            images,
            "--from",
            f"acme/{token}",
            "--output",
            "attacked",
            "--debug",
        ],
        "attacks": ["attacks"],
        "bench": ["bench", address, "-d", address, "--output", "benched", "--debug"],
        "layers": ["layers", "acme/good"],
        "layers of an address": ["layers", address, "--debug"],
        "layers of none": ["layers", f"acme/{token}", "--debug"],
        "methods": ["methods"],
        "card": ["card", "out"],
        "card of none": ["card", address, "--debug"],
        "report": ["report", "out", "--html", "page.html"],
        "report of none": ["report", address, "--debug"],
        "publish": ["publish", "out", "acme/published", "--private"],
        "publish elsewhere": ["publish", "out", f"{token}/x", "--debug"],
        "publish an address": ["publish", "out", address],
        "reproduce": ["reproduce", address, "--debug"],
        "no command": [token, address],
    }


def test_every_command_is_here():
    commands = typer.main.get_command(app).commands
    assert {words[0] for words in lines("", "t", "").values()} - {"t"} == set(commands)


@pytest.fixture(scope="module")
def private_model(local_hub, harmless):
    """On the local Hub, where only a token leads to it."""
    local_hub.add_repo("acme/good", folder=harmless / "timm", private=True)


@pytest.mark.parametrize("place", ["environment", "file"])
def test_no_token_is_printed_or_written(place, local_hub, private_model, tmp_path):
    if place == "environment":
        token = local_hub.token
    else:  # of another form than the Hub's, so that only knowing it can hide it
        token = "corporate.secret-0123456789"
        accounts = local_hub.state.accounts
        accounts._callers[token] = accounts._callers[local_hub.token]
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    images = write_class_folders(tmp_path / "images", range(24), NAMES)
    env = local_hub.env(home, token=token if place == "environment" else None)
    if place == "file":
        (home / "token").write_text(token)
    env |= {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TMPDIR": str(work),
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }
    chosen = lines(work, token, str(images))
    if place == "file":  # what works is the same, and takes its time
        chosen = {name: words for name, words in chosen.items() if "--debug" in words}
    asked = {"cwd": str(work), "lines": chosen}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.driver"],
        input=json.dumps(asked),
        env=env,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.replace(token, "TOKEN")[-2000:]
    results = json.loads(done.stdout)
    works = {"scan", "purify", "attacks", "layers", "methods", "card", "report", "publish"}
    for name, result in results.items():
        shown = f"{name}: {result}".replace(token, "THE-TOKEN")
        assert token not in result["out"] + result["err"], shown
        assert result["code"] == (0 if name in works else 2), shown
    assert token not in done.stderr
    assert "Traceback" in results["layers of none"]["err"]
    if place == "environment":  # the token was needed, and was used: the repository is private
        assert local_hub.commit("acme/published").files
    spilt = [
        str(path)
        for place in (work, home, tmp_path / "cache")
        for path in place.rglob("*")
        if path.is_file() and path != home / "token" and holds(path, token)
    ]
    assert spilt == []
    # Names of files and folders are output too, but for those that the user asked for.
    assert not [path for path in (tmp_path / "cache").rglob("*") if token in path.name]


def holds(path, token):
    """Whether a file holds the token, as it is or packed, as in the text of a picture."""
    content = path.read_bytes()
    if token.encode() in content:
        return True
    if content.startswith(b"\x89PNG"):
        at = 8
        while at + 8 <= len(content):
            length = int.from_bytes(content[at : at + 4], "big")
            kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
            packed = data.partition(b"\0")[2]
            if kind == b"zTXt" and token.encode() in zlib.decompress(packed[1:]):
                return True
            at += 12 + length
    return False
