"""A processor that names AMX and does not run it: bf16 must not end the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

import ngf_hub.tiles as module
from ngf_hub.devices import make_accelerator
from ngf_hub.errors import NgfHubError
from ngf_hub.tiles import LIMIT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def illegal() -> None:
    os.kill(os.getpid(), signal.SIGILL)


def test_an_illegal_instruction_is_seen_and_does_not_end_the_program(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert module.stops(illegal)
    assert not module.stops(lambda: None)
    assert not module.stops(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert not module.stops(lambda: 1 / 0)
    assert capfd.readouterr().err == ""


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor that names them, and nothing that was settled before."""
    monkeypatch.setattr(module, "_named", lambda: True)
    monkeypatch.setenv(LIMIT, "")  # so that what is set in a test is undone
    monkeypatch.delenv(LIMIT)
    module.avoid_broken_tiles.cache_clear()
    yield
    module.avoid_broken_tiles.cache_clear()


@pytest.mark.usefixtures("tiles")
def test_without_tiles_where_they_stop_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_multiply", lambda: LIMIT in os.environ or illegal())
    assert module.avoid_broken_tiles()
    assert os.environ[LIMIT] == module.WITHOUT_TILES


@pytest.mark.usefixtures("tiles")
def test_tiles_that_work_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_multiply", lambda: None)
    assert module.avoid_broken_tiles()
    assert LIMIT not in os.environ


@pytest.mark.usefixtures("tiles")
def test_too_late_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_multiply", illegal)
    assert not module.avoid_broken_tiles()
    assert LIMIT not in os.environ
    make_accelerator("cpu")
    with pytest.raises(NgfHubError, match="names AMX"):
        make_accelerator("cpu", "bf16")


@pytest.mark.usefixtures("tiles")
def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_multiply", illegal)
    monkeypatch.setenv(LIMIT, "AVX2")
    assert module.avoid_broken_tiles()
    assert os.environ[LIMIT] == "AVX2"


def test_bfloat16_on_this_processor() -> None:
    """In a process of its own, which an illegal instruction would end; a model is run before."""
    code = """
import torch
from torch import nn
from ngf_hub import load_model
from ngf_hub.devices import make_accelerator
network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Flatten(), nn.Linear(12544, 9))
classifier = load_model(network, size=16)
accelerator = make_accelerator("cpu", "bf16")
with accelerator.autocast():
    print(classifier(torch.ones(64, 3, 16, 16)).dtype)
"""
    environment = {key: value for key, value in os.environ.items() if key != LIMIT}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout.strip()) == (0, "torch.bfloat16"), done.stderr
