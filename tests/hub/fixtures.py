"""Pytest fixtures: a local Hub, and an in-process client that talks to it.

Load them with ``pytest_plugins`` in the top conftest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .server import LocalHub


@pytest.fixture(scope="module")
def local_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A running Hub with an empty store, shared by the tests of a module."""
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub
    assert not hub.crashes, "\n".join(hub.crashes)


@pytest.fixture
def hub_api(
    local_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., object]:
    """Makes ``HfApi`` clients of ``local_hub`` in this process: ``hub_api(token=...)``.

    The default token is alice's; ``token=False`` is an anonymous client. The
    constants that huggingface_hub read from the environment at import are set for
    the test as ``LocalHub.env`` would have set them, with a fresh cache.
    """
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")

    def make(token: str | bool | None = None) -> HfApi:
        return HfApi(local_hub.endpoint, token=local_hub.token if token is None else token)

    return make
