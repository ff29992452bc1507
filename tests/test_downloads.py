"""What lies in the cache is what the Hub says, or is fetched again."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from ngf_hub.checksums import is_stated, same
from ngf_hub.downloads import ask_for_model, download
from ngf_hub.errors import HubError
from ngf_hub.scans.state import model_state
from tests.hub.faults import Fault
from tests.publishing.helpers import talk_to

CONTENTS = {"config.json": b'{"a": 1}' * 99, "model.safetensors": bytes(range(256)) * 99}


@pytest.fixture
def hub(local_hub, hub_api, monkeypatch):
    hub_api()
    talk_to(local_hub.endpoint, monkeypatch)
    monkeypatch.setenv("NGF_HUB_RETRIES", "0")
    if "acme/net" not in {repo.id for repo in local_hub.state.store.all("model")}:
        local_hub.add_repo("acme/net", files=CONTENTS)
    yield local_hub
    local_hub.faults.clear()


def entries() -> dict:
    info = HfApi().model_info("acme/net", files_metadata=True)
    return {sibling.rfilename: sibling for sibling in info.siblings}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_byte_that_is_another_does_not_stay(hub, name):
    entry = entries()[name]
    assert is_stated(entry)
    assert same(entry, CONTENTS[name])
    assert not same(entry, CONTENTS[name][:-1] + b"?")
    hub.faults.inject(Fault("corrupt", method="GET", path=name))
    path = download("acme/net", name, revision="main", entry=entry)
    assert path.read_bytes() == CONTENTS[name]


def test_what_always_arrives_corrupt_is_said_and_not_kept(hub):
    hub.faults.inject(Fault("corrupt", method="GET", path="config.json", times=9))
    with pytest.raises(HubError, match="not the file on the Hub"):
        download("acme/net", "config.json", revision="main", entry=entries()["config.json"])
    repo = Path(constants.HF_HUB_CACHE) / "models--acme--net"
    assert list(repo.rglob("config.json")) == []
    assert [path for path in (repo / "blobs").iterdir() if path.is_file()] == []


def test_a_file_that_was_spoilt_in_the_cache_is_fetched_again(hub):
    entry = entries()["model.safetensors"]
    path = download("acme/net", "model.safetensors", revision="main", entry=entry)
    path.resolve().write_bytes(bytes(len(CONTENTS["model.safetensors"])))
    again = download("acme/net", "model.safetensors", revision="main", entry=entry)
    assert again.read_bytes() == CONTENTS["model.safetensors"]


def test_the_cache_serves_where_the_hub_does_not(hub):
    hub.faults.inject(Fault("status", status=503, path="/api/", times=9))
    with pytest.raises(HubError, match="status 503"):
        ask_for_model("acme/net", revision=None)
    path = download("acme/net", "config.json", revision="main")
    assert ask_for_model("acme/net", revision=None) == path.parent
    hub.faults.clear()
    assert ask_for_model("acme/net", revision=None).sha == path.parent.name


def test_what_a_scan_asks_a_model_first_leaves_nothing_corrupt(hub):
    hub.faults.inject(Fault("corrupt", method="GET", path="config.json"))
    state = model_state("acme/net")
    assert state.commit == hub.commit("acme/net").oid
    repo = Path(constants.HF_HUB_CACHE) / "models--acme--net"
    assert list(repo.rglob("config.json")) == []
    model_state("acme/net")
    (path,) = repo.rglob("config.json")
    assert path.read_bytes() == CONTENTS["config.json"]
