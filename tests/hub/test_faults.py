"""The faults of the local Hub, as a plain client and a real one meet them."""

from __future__ import annotations

import http.client
import random
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.hub.faults import KINDS, Fault
from tests.hub.plain_http import fetch
from tests.hub.server import LocalHub

CONTENT = random.Random(0).randbytes(200_000)
FILE = "/acme/net/resolve/main/x.bin"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with LocalHub(tmp_path_factory.mktemp("faulty")) as hub:
        hub.add_repo("acme/net", files={"x.bin": CONTENT})
        yield hub
    assert not hub.crashes


@pytest.fixture(autouse=True)
def whole_again(hub):
    yield
    hub.faults.clear()
    hub.faults.happened.clear()
    assert get(hub).content == CONTENT


def get(hub, method="GET"):
    return fetch(method, hub.endpoint + FILE)


def broken(hub) -> bytes:
    """What arrives of a body that ends early; raises what a socket raises."""
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(hub)
    return caught.value.partial


def test_statuses_with_their_headers(hub):
    hub.faults.inject(Fault("status", status=429, retry_after=7), Fault("status", status=404))
    first, second = get(hub), get(hub)
    assert (first.status, first.headers["Retry-After"]) == (429, "7")
    # The second fault counted the first request, too, and was not to act on the second.
    assert second.status == 200


def test_the_schedule_counts_matching_requests(hub):
    hub.faults.inject(Fault("status", method="GET", path="x[.]bin$", nth=2, times=2, status=500))
    asked = ["GET", "HEAD", "GET", "GET", "GET"]
    assert [get(hub, method).status for method in asked] == [200, 200, 500, 500, 200]
    assert [kind for kind, *_ in hub.faults.happened] == ["status", "status"]
    assert fetch("GET", hub.endpoint + "/api/models/acme/net").status == 200


@pytest.mark.parametrize("kind", ["drop", "lost", "hang"])
def test_no_answer(hub, kind):
    hub.faults.inject(Fault(kind, seconds=0.2))
    start = time.monotonic()
    with pytest.raises(ConnectionError):
        get(hub)
    assert (time.monotonic() - start >= 0.2) == (kind == "hang")


def test_a_lost_request_was_carried_out(hub):
    body = {"name": "made", "organization": "acme", "type": "model"}
    hub.faults.inject(Fault("lost", method="POST"))
    with pytest.raises(ConnectionError):
        fetch("POST", f"{hub.endpoint}/api/repos/create", body, token=hub.token)
    assert hub.repo("acme/made")


def test_the_port_is_closed_for_a_while(hub):
    hub.faults.inject(Fault("refuse", seconds=0.3))
    with pytest.raises(ConnectionError):
        get(hub)
    address = urlsplit(hub.endpoint).netloc.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address[0], int(address[1])))
    time.sleep(0.5)
    assert get(hub).status == 200


def test_clearing_opens_the_port(hub):
    hub.faults.inject(Fault("refuse", seconds=60))
    with pytest.raises(ConnectionError):
        get(hub)
    hub.faults.clear()
    assert get(hub).status == 200


@pytest.mark.parametrize("kind", ["truncate", "stall"])
def test_a_part_of_the_body(hub, kind):
    hub.faults.inject(Fault(kind, at=0.25, seconds=0.1))
    if kind == "truncate":
        assert broken(hub) == CONTENT[:50_000]
    else:  # reset: what was underway may be lost
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            get(hub)


def test_a_reset_connection(hub):
    hub.faults.inject(Fault("reset", at=0.9))
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        get(hub)


def test_bodies_that_look_whole(hub):
    hub.faults.inject(
        Fault("short", at=0.25), Fault("corrupt", nth=2, at=0.5), Fault("drip", nth=3, seconds=0.01)
    )
    assert get(hub).content == CONTENT[:50_000]
    corrupt = get(hub).content
    assert [i for i in range(len(CONTENT)) if corrupt[i] != CONTENT[i]] == [100_000]
    assert get(hub).content == CONTENT


def test_another_etag(hub):
    true = get(hub, "HEAD").headers["ETag"]
    hub.faults.inject(Fault("etag"))
    assert get(hub, "HEAD").headers["ETag"] != true
    assert get(hub, "HEAD").headers["ETag"] == true


def test_every_kind_is_known():
    assert [Fault(kind).kind for kind in KINDS] == list(KINDS)
    with pytest.raises(ValueError, match="Unknown"):
        Fault("gremlins")
