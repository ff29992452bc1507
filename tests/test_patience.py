"""Requests that are made again, and those that are not."""

from __future__ import annotations

import subprocess
import sys

import pytest
from huggingface_hub import HfApi, constants, errors, get_session, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from ngf_hub import patience
from ngf_hub.errors import HubError
from ngf_hub.hub import explain, hub_errors
from ngf_hub.patience import GarbledAnswerError, is_transient, no_endless_waits, patiently
from tests.hub.faults import Fault


@pytest.fixture
def waits(monkeypatch):
    """The waits, which are not waited."""
    found = []
    monkeypatch.setattr(patience.time, "sleep", found.append)
    monkeypatch.setenv(patience.RETRIES, "3")
    return found


@pytest.fixture
def hub(local_hub):
    if "acme/net" not in {repo.id for repo in local_hub.state.store.all("model")}:
        local_hub.add_repo("acme/net", files={"config.json": "{}"})
    yield local_hub
    local_hub.faults.clear()


@pytest.fixture(autouse=True)
def plain_client(monkeypatch):
    """The client as the library makes it, whatever ran in this process before."""
    monkeypatch.setattr(patience, "_own_process", False)
    set_client_factory(default_client_factory)
    yield
    set_client_factory(default_client_factory)


def asked(hub, hub_api, *faults):
    api: HfApi = hub_api()
    hub.faults.inject(*faults)
    with hub_errors("fetch acme/net"), hub.log.record() as log:
        try:
            patiently(lambda: api.model_info("acme/net", timeout=1))
        finally:
            hub.faults.clear()
            asked.requests = len(log.entries)
    return asked.requests


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=500, times=2),
        Fault("status", status=503, times=2),
        Fault("status", status=429, times=2),
        Fault("drop", times=2),
        Fault("truncate", times=2),
        Fault("corrupt", times=2, at=0.5),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_a_moments_fault_is_waited_out(hub, hub_api, waits, fault):
    assert asked(hub, hub_api, fault) == 3
    assert waits == [1, 2]


def test_the_hubs_own_wish_is_heeded_within_reason(hub, hub_api, waits):
    assert asked(hub, hub_api, Fault("status", status=429, retry_after=9)) == 2
    assert waits == [9]
    with pytest.raises(HubError, match="Wait 3600 seconds"):
        asked(hub, hub_api, Fault("status", status=429, retry_after=3600))
    assert waits == [9]


def test_no_server_makes_the_client_sleep_for_an_hour(hub, hub_api, waits):
    api = hub_api()
    endless = Fault("status", method="GET", path="resolve", status=429, retry_after=3600, times=99)
    hub.faults.inject(endless)  # the library would wait by itself and then ask again
    with pytest.raises(HubError, match="Wait 3600 seconds"), hub_errors("fetch acme/net"):
        api.hf_hub_download("acme/net", "config.json")
    assert waits == []


def test_patience_ends(hub, hub_api, waits, monkeypatch):
    for_ever = Fault("status", status=502, times=100)
    with pytest.raises(HubError, match="status 502"):
        asked(hub, hub_api, for_ever)
    assert (asked.requests, waits) == (4, [1, 2, 4])
    monkeypatch.setattr(patience, "PATIENCE_S", 2.0)
    with pytest.raises(HubError, match="status 502"):
        asked(hub, hub_api, for_ever)
    assert asked.requests == 2
    monkeypatch.setenv(patience.RETRIES, "0")
    with pytest.raises(HubError, match="status 502"):
        asked(hub, hub_api, for_ever)
    assert asked.requests == 1


def test_without_a_network_what_is_kept_is_not_waited_for_long(waits):
    client = sys.modules[errors.HfHubHTTPError.__mro__[1].__module__.split(".")[0]]

    def fail(error):
        raise error

    for kept, error, waited in (
        (True, client.ConnectError("no route"), [1]),
        (True, client.ReadError("broken off"), [1, 2, 4]),
        (False, client.ConnectError("no route"), [1, 2, 4]),
    ):
        with pytest.raises(type(error)):
            patiently(lambda error=error: fail(error), kept=kept)
        assert waits == waited
        waits.clear()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412])
def test_an_answer_that_says_no_is_taken(hub, hub_api, waits, status):
    with pytest.raises(HubError):
        asked(hub, hub_api, Fault("status", status=status, times=9))
    assert (asked.requests, waits) == (1, [])


def test_an_answer_that_nobody_understands(hub, hub_api, waits):
    with pytest.raises(HubError, match="the server's answer cannot be read"):
        asked(hub, hub_api, Fault("corrupt", times=9, at=0.5))
    assert asked.requests == 4


def test_errors_of_our_own_are_no_answers(waits):
    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError):
        patiently(fail)
    assert waits == []
    assert is_transient(GarbledAnswerError())
    assert not is_transient(ValueError())


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol", True),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", False),
    ],
)
def test_a_broken_connection_is_no_bad_certificate(said, again):
    client = sys.modules[errors.HfHubHTTPError.__mro__[1].__module__.split(".")[0]]
    error = client.ConnectError(said)
    assert is_transient(error) == again
    assert ("certificate" in explain(error)[0]) != again


def test_a_server_that_says_nothing_is_not_waited_for_without_an_end(hub, hub_api, monkeypatch):
    api = hub_api()
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    hub.faults.inject(Fault("hang", seconds=30))
    with pytest.raises(HubError, match="did not answer in time"), hub_errors("create acme/new"):
        api.create_repo("acme/new")  # the client library sets no limit for this one


def test_a_client_with_its_own_limit_keeps_it(monkeypatch):
    session = get_session()
    with no_endless_waits():
        assert session.timeout.read == patience.SILENCE_S
    assert session.timeout.read is None
    assert session.event_hooks["response"] == []
    monkeypatch.setattr(session, "timeout", 5.0)
    with no_endless_waits():
        assert session.timeout.read == 5.0


def test_every_client_of_the_command_line_has_limits():
    code = (
        "from ngf_hub.cli import main\n"
        "from huggingface_hub import close_session, get_session\n"
        "from ngf_hub.hub import explain, hub_errors\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "with hub_errors('look'):\n"
        "    close_session()\n"  # as the client library does after some errors
        "    print(get_session().timeout.read, len(get_session().event_hooks['response']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{patience.SILENCE_S} 1"
