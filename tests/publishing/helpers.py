"""What the tests of publishing share besides fixtures."""

from __future__ import annotations

import pytest
from huggingface_hub import constants

from ngf_hub.errors import NgfHubError
from tests.hub.server import LocalHub

FILES = {
    "README.md",
    "before_after.png",
    "config.json",
    "model.safetensors",
    "report.json",
    "trigger/trigger.json",
    "trigger/trigger.safetensors",
}


def talk_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set in this process what the client read from HF_ENDPOINT when it was imported."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def there(hub: LocalHub, repo: str) -> set[str]:
    return set(hub.commit(repo).files) - {".gitattributes"}


def commits(hub: LocalHub, repo: str) -> int:
    stored = hub.repo(repo)
    return len(list(stored.history(stored.resolve("main"))))


def refused(error: type[NgfHubError], match: str, call, **changes) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(error, match=match) as caught:
        call(**changes)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text
