"""A Hub that fails at the commit, is changed by somebody else, or is not there."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from huggingface_hub import constants

from ngf_hub.card import write_card
from ngf_hub.errors import HubError
from ngf_hub.publishing import publish
from tests.hub.server import LocalHub
from tests.publishing.helpers import FILES, refused, talk_to, there
from tests.report_samples import provenance, report


class Fault:
    """Middleware that does something once at the first request that commits."""

    def __init__(self, act) -> None:
        self.act = act
        self.done = False

    def __call__(self, app):
        async def wrapped(scope, receive, send):
            if not self.done and scope["method"] == "POST" and "/commit/" in scope["path"]:
                self.done = True
                if await self.act(send) == "stop":
                    return
            await app(scope, receive, send)

        return wrapped


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A second local Hub whose first commit meets a fault."""
    hubs = []

    def start(act) -> LocalHub:
        hub = LocalHub(tmp_path / "faulty", middleware=[Fault(act)])
        hub.start()
        hubs.append(hub)
        talk_to(hub.endpoint, monkeypatch)
        return hub

    yield start
    for hub in hubs:
        hub.stop()


def test_a_fault_after_creation_says_what_to_do_and_a_repeat_ends_right(faulty, folder):
    async def fail(send):
        headers = [(b"content-length", b"0"), (b"x-error-message", b"internal")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return "stop"

    hub = faulty(fail)
    call = {"folder": folder, "repo_id": "acme/net", "token": hub.token}
    text = refused(HubError, "status 500", publish, **call)
    assert "Run the same command again: the new repository is there, still empty." in text
    assert there(hub, "acme/net") == set()
    assert publish(**call).changed
    assert there(hub, "acme/net") == FILES


def test_a_commit_of_somebody_else_in_between_is_not_lost(faulty, folder):
    async def commit_first(send):
        hub.add_commit("acme/net", {"NOTES.md": "theirs"})
        return "go on"

    hub = faulty(commit_first)
    hub.add_repo("acme/net")
    call = {"folder": folder, "repo_id": "acme/net", "token": hub.token}
    refused(HubError, "at the same time.*again", publish, **call)
    assert there(hub, "acme/net") == {"NOTES.md"}


def test_no_network_and_offline(folder, repo, send, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    talk_to(f"http://127.0.0.1:{port}", monkeypatch)
    refused(HubError, "cannot be reached", send)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(HubError, "HF_HUB_OFFLINE", send)


def test_title_of_the_commit(local_hub, repo, send, folder):
    send()
    assert local_hub.commit(repo).title == "resnet-cifar after ngf, by ngf-hub 0.1.0"
    report(provenance=provenance(seed=9)).write(folder)
    write_card(folder)
    send(message="Second try")
    assert local_hub.commit(repo).title == "Second try"


def test_the_client_as_users_have_it(local_hub, folder, repo, tmp_path):
    """A process of its own, with HF_ENDPOINT and HF_TOKEN; no output holds the token."""
    code = (
        "import sys; from ngf_hub.publishing import publish\n"
        "first, second = (publish(sys.argv[1], sys.argv[2]) for _ in range(2))\n"
        "print(first.changed, second.changed, first.commit == second.commit)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), repo],
        env=local_hub.env(tmp_path / "home", local_hub.token),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "True False True", done.stderr
    assert there(local_hub, repo) == FILES
    assert local_hub.token not in done.stdout + done.stderr
