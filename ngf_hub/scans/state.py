"""What tells one state of a model, or of images, from another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngf_hub.checksums import is_of_its_name, sha256
from ngf_hub.downloads import discard
from ngf_hub.errors import ModelError, NgfHubError
from ngf_hub.hub import hub_errors
from ngf_hub.paths import files_below
from ngf_hub.patience import patiently, silence
from ngf_hub.source import locate
from ngf_hub.text import plain

CONFIG = "config.json"


@dataclass(frozen=True)
class ModelState:
    """A model as it is now.

    Attributes:
        repo: The Hub id, or ``None`` for a folder.
        commit: The commit of the Hub model.
        files: The SHA-256 of each file of a folder, by its path in it.
    """

    repo: str | None
    commit: str | None
    files: tuple[tuple[str, str], ...] = ()

    def content(self) -> dict[str, Any]:
        """What tells it from every other, as JSON values; where a folder lies does not."""
        if self.repo is None:
            return {"files": dict(self.files)}
        from huggingface_hub import constants

        return {"hub": constants.ENDPOINT, "repo": self.repo, "commit": self.commit}


def model_state(
    source: str, *, revision: str | None = None, token: str | None = None
) -> ModelState:
    """The state of the model that a text names, found out with one request at most.

    Args:
        source: As :func:`ngf_hub.load_model` takes it.
        revision: Branch, tag or commit of a Hub id.
        token: Instead of the one that Hub clients find by themselves.

    Raises:
        HubError: There is no such repository, or it cannot be asked.
        ModelError: It is a file, or an empty folder.
    """
    place = locate(source, revision=revision)
    if isinstance(place, Path):
        return ModelState(None, None, _hashes(place))
    return ModelState(place.repo, _commit(place.repo, place.revision, token))


def _commit(repo: str, revision: str | None, token: str | None) -> str | None:
    """The commit that a revision stands at; what the cache knows where the Hub is not reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    api = HfApi(token=token)
    with hub_errors(f"fetch model {repo}", token=token):
        try:
            # By the revision's name, so that the cache knows what it stood at when offline.
            path = Path(patiently(lambda: api.hf_hub_download(repo, CONFIG, revision=revision)))
            # Only where it lies counts here; who reads it fetches it, and has it checked.
            if not is_of_its_name(path.resolve()):
                discard(path)
            return path.parent.name
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            info = patiently(lambda: api.model_info(repo, revision=revision, timeout=silence()))
            return info.sha


def _hashes(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        found = tuple((name, sha256(file)) for name, file in files_below(path))
    except OSError as error:
        raise NgfHubError(f"{plain(path)} cannot be read: {plain(error)}.") from error
    if not found:
        raise ModelError(
            f"{plain(path)} is an empty folder.", "Give a folder with a config.json and weights."
        )
    return found


def images_digest(encoded: Any) -> str:
    """The SHA-256 of the encoded pictures of an :class:`ngf_hub.data.ImageSet`, in their order."""
    digest = hashlib.sha256()
    for index in range(len(encoded)):
        digest.update(hashlib.sha256(encoded.encoded(index)).digest())
    return digest.hexdigest()
