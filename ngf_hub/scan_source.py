"""Which model a text names, and what tells one state of it from another."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngf_hub.errors import HubError, ModelError, NgfHubError
from ngf_hub.hub import hub_errors, is_hub_id
from ngf_hub.paths import existing
from ngf_hub.text import plain

_HUB_PREFIXES = ("hf-hub:", "hf_hub:")
_LOCAL_PREFIX = "local-dir:"
CONFIG = "config.json"
# Git's own, and what huggingface_hub keeps beside what it downloaded.
_SKIPPED = (".git", ".cache")


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
        ModelError: The folder is empty.
    """
    prefix = next((p for p in _HUB_PREFIXES if source.startswith(p)), None)
    name = source.removeprefix(prefix or _LOCAL_PREFIX)
    path = existing(name) if prefix is None and name else None
    if path is not None:
        return ModelState(None, None, _hashes(path))
    if prefix is not None and "@" in name:
        name, _, named = name.partition("@")
        revision = revision or named
    if not is_hub_id(name) or source.startswith(_LOCAL_PREFIX):
        raise HubError(
            f"{plain(name)!r} is neither a folder here nor the id of a Hub repository.",
            "Give org/model, or the path of a folder.",
        )
    return ModelState(name, _commit(name, revision, token))


def _commit(repo: str, revision: str | None, token: str | None) -> str | None:
    """The commit that a revision stands at; what the cache knows where the Hub is not reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    api = HfApi(token=token)
    with hub_errors(f"fetch model {repo}", token=token):
        try:
            # By the revision's name, so that the cache knows what it stood at when offline.
            return Path(api.hf_hub_download(repo, CONFIG, revision=revision)).parent.name
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return api.model_info(repo, revision=revision).sha


def _hashes(path: Path) -> tuple[tuple[str, str], ...]:
    from ngf_hub.adapters.weights import sha256

    if path.is_file():
        raise ModelError(
            f"{plain(path)} is a file.", "Give the folder that it lies in, with its config.json."
        )
    found = []
    try:
        for folder, subfolders, names in os.walk(path):
            subfolders[:] = sorted(name for name in subfolders if name not in _SKIPPED)
            for name in sorted(names):
                file = Path(folder) / name
                if file.is_file():
                    found.append((file.relative_to(path).as_posix(), sha256(file)))
    except OSError as error:
        raise NgfHubError(f"{plain(path)} cannot be read: {plain(error)}.") from error
    if not found:
        raise ModelError(
            f"{plain(path)} is an empty folder.", "Give a folder with a config.json and weights."
        )
    return tuple(found)


def images_digest(encoded: Any) -> str:
    """The SHA-256 of the encoded pictures of an :class:`ngf_hub.data.ImageSet`, in their order."""
    digest = hashlib.sha256()
    for index in range(len(encoded)):
        digest.update(hashlib.sha256(encoded.encoded(index)).digest())
    return digest.hexdigest()
