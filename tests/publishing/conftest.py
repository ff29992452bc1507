"""An output folder, a repository name and a client for each test."""

from __future__ import annotations

import re
import shutil
import zlib
from pathlib import Path

import pytest

from ngf_hub.publishing import publish
from tests.publishing.helpers import talk_to
from tests.report_samples import output_folder


@pytest.fixture(autouse=True)
def client(local_hub, hub_api, monkeypatch):
    """This process's Hub client talks to the local Hub."""
    talk_to(local_hub.endpoint, monkeypatch)
    return hub_api()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return output_folder(tmp_path_factory.mktemp("original") / "out")


@pytest.fixture
def folder(original, tmp_path):
    """An output folder of its own for each test."""
    return Path(shutil.copytree(original, tmp_path / "out"))


@pytest.fixture
def repo(request):
    """A repository name of its own for each test."""
    name = request.node.name
    return f"acme/{re.sub('[^a-z0-9]+', '-', name)[:50].strip('-')}-{zlib.crc32(name.encode())}"


@pytest.fixture
def send(local_hub, folder, repo):
    """``publish`` of the folder to the repository with alice's token."""

    def call(**changes):
        return publish(**{"folder": folder, "repo_id": repo, "token": local_hub.token, **changes})

    return call
