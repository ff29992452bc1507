"""A processor that names AMX and does not run it: bf16 must not end the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ngf_hub import tiles
from ngf_hub.errors import NgfHubError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def illegal() -> None:
    os.kill(os.getpid(), signal.SIGILL)


def test_an_illegal_instruction_is_seen_and_does_not_end_the_program(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert tiles.stops(illegal)
    assert not tiles.stops(lambda: None)
    assert not tiles.stops(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert not tiles.stops(lambda: 1 / 0)
    assert capfd.readouterr().err == ""


def named(monkeypatch: pytest.MonkeyPatch, trial: object) -> None:
    monkeypatch.setattr(tiles, "_named", lambda: True)
    monkeypatch.setattr(tiles, "_multiply", trial)
    monkeypatch.setenv(tiles.LIMIT, "")  # so that what is set here is undone
    monkeypatch.delenv(tiles.LIMIT)


def test_without_tiles_where_they_stop_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, lambda: tiles.LIMIT in os.environ or illegal())
    tiles.avoid_broken_tiles()
    assert os.environ[tiles.LIMIT] == tiles.WITHOUT_TILES


def test_tiles_that_work_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, lambda: None)
    tiles.avoid_broken_tiles()
    assert tiles.LIMIT not in os.environ


def test_too_late_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, illegal)
    with pytest.raises(NgfHubError, match="names AMX"):
        tiles.avoid_broken_tiles()
    assert tiles.LIMIT not in os.environ


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, illegal)
    monkeypatch.setenv(tiles.LIMIT, "AVX2")
    tiles.avoid_broken_tiles()
    assert os.environ[tiles.LIMIT] == "AVX2"


def test_bfloat16_on_this_processor() -> None:
    """In a process of its own, which an illegal instruction would end."""
    code = """
import torch
from ngf_hub.devices import make_accelerator
accelerator = make_accelerator("cpu", "bf16")
with accelerator.autocast():
    print(torch.nn.Linear(64, 64)(torch.ones(64, 64)).dtype)
"""
    environment = {key: value for key, value in os.environ.items() if key != tiles.LIMIT}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout.strip()) == (0, "torch.bfloat16"), done.stderr
