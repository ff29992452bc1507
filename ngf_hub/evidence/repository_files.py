"""The files of a folder, or of a Hub repository at one commit, read only as far as needed."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.checksums import is_stated, same
from ngf_hub.downloads import ask_for_model, download
from ngf_hub.errors import HubError, ModelError
from ngf_hub.hub import NETWORK, hub_errors
from ngf_hub.paths import files_below
from ngf_hub.patience import patiently, silence
from ngf_hub.remote import is_weights
from ngf_hub.source import locate

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

# Fetched at once, since the header of most safetensors files is shorter.
_FIRST_BYTES = 1 << 17


@dataclass
class RepositoryFiles(ABC):
    """The files of a model.

    Attributes:
        name: The Hub id or the folder, as the user gave it.
        sizes: Size in bytes of every file, by its path.
        commit: The commit of a Hub repository.
        security: What the Hub's own scan says of it.
        notes: What a reader should know.
    """

    name: str
    sizes: dict[str, int]
    commit: str | None = None
    security: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    @abstractmethod
    def read(self, name: str, start: int, count: int) -> bytes:
        """Up to ``count`` bytes of a file from ``start`` on, without fetching the rest.

        Raises:
            HubError: They cannot be fetched.
        """

    @abstractmethod
    def fetch(self, name: str) -> Path:
        """A file as a whole.

        Raises:
            HubError: It cannot be fetched.
        """

    @abstractmethod
    def weights(self) -> list[str]:
        """The files that :func:`ngf_hub.load_model` would read weights from, if any.

        Raises:
            HubError: An index cannot be fetched.
        """


def open_files(
    source: str | Path, *, revision: str | None = None, token: str | None = None
) -> RepositoryFiles:
    """The files that a Hub id or the path of a folder names.

    Args:
        source: As :func:`ngf_hub.load_model` takes it.
        revision: Branch, tag or commit of a Hub id.
        token: Instead of the one that Hub clients find by themselves.

    Raises:
        HubError: It is neither, or the repository cannot be asked for.
        ModelError: It is a file.
    """
    place = locate(source, revision=revision)
    if isinstance(place, Path):
        return FolderFiles(name=str(source), sizes=_sizes(place), folder=place)
    return _open_hub(place.repo, place.revision, token)


@dataclass
class FolderFiles(RepositoryFiles):
    """A folder here."""

    folder: Path = Path()

    def read(self, name: str, start: int, count: int) -> bytes:  # noqa: D102
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            return file.read(max(0, min(count, self.sizes[name] - start)))

    def fetch(self, name: str) -> Path:  # noqa: D102
        return self.folder / name

    def weights(self) -> list[str]:  # noqa: D102
        here = [name for name in self.sizes if "/" not in name]
        return _weights(here, name=self.name, folder=self.folder)


@dataclass
class HubFiles(RepositoryFiles):
    """A Hub repository at a commit."""

    token: str | None = None
    entries: dict[str, RepoSibling] = field(default_factory=dict, repr=False)
    _starts: dict[str, bytes] = field(default_factory=dict, repr=False)

    def read(self, name: str, start: int, count: int) -> bytes:  # noqa: D102
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(self.name, name, revision=self.commit)
        if not isinstance(cached, str):
            if start + count <= _FIRST_BYTES:
                if name not in self._starts:
                    self._starts[name] = self._range(name, 0, _FIRST_BYTES)
                return self._starts[name][start : start + count]
            return self._range(name, start, count)
        with open(cached, "rb") as file:
            file.seek(start)
            return file.read(max(0, min(count, os.path.getsize(cached) - start)))

    def _range(self, name: str, start: int, count: int) -> bytes:
        """A part of a file by one request; all of the file where the server knows no ranges."""
        from huggingface_hub import HfApi, get_session, hf_hub_url
        from huggingface_hub.utils import (  # type: ignore[attr-defined]
            build_hf_headers,
            hf_raise_for_status,
        )

        count = min(count, self.sizes[name] - start)
        if count <= 0:
            return b""
        endpoint = HfApi().endpoint
        url = hf_hub_url(self.name, name, revision=self.commit, endpoint=endpoint)
        headers = build_hf_headers(token=self.token)
        headers |= {"Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}

        def ask() -> bytes | None:
            content = bytearray()
            with get_session().stream("GET", url, headers=headers, timeout=silence()) as response:
                hf_raise_for_status(response)
                if response.status_code != 206 and start:
                    return None
                for block in response.iter_bytes():
                    content += block
                    if len(content) >= count:
                        break
            return bytes(content[:count])

        with hub_errors(f"fetch {name} of {self.name}", token=self.token):
            part = patiently(ask)
        entry = self.entries.get(name)
        whole = part is not None and count == self.sizes[name] and is_stated(entry)
        if part is not None and len(part) == count and not (whole and not same(entry, part)):
            return part
        with self.fetch(name).open("rb") as file:
            file.seek(start)
            return file.read(count)

    def fetch(self, name: str) -> Path:  # noqa: D102
        entry = self.entries.get(name)
        return download(self.name, name, revision=self.commit, token=self.token, entry=entry)

    def weights(self) -> list[str]:  # noqa: D102
        return _weights(self.sizes, name=self.name, commit=self.commit, token=self.token)


def _open_hub(repo: str, revision: str | None, token: str | None) -> RepositoryFiles:
    """A Hub repository; what the cache holds of it where the Hub is not reached."""
    info = ask_for_model(repo, revision=revision, token=token, security=True)
    if isinstance(info, Path):
        kept = _cached(repo, info)
        if not any(is_weights(name) for name in kept.sizes):
            raise HubError(
                f"The cache lacks the weights of {repo}, and the Hub was not reached.", NETWORK
            )
        return kept
    entries = {sibling.rfilename: sibling for sibling in info.siblings or []}
    files = HubFiles(name=repo, sizes={}, commit=info.sha, token=token, entries=entries)
    for name, sibling in entries.items():
        size = sibling.lfs.size if sibling.size is None and sibling.lfs else sibling.size
        files.sizes[name] = sys.maxsize if size is None else size
    files.security = info.security_repo_status
    if files.security is None:
        files.notes.append("the Hub says nothing of its own security scan")
    elif not files.security.get("scansDone", True):
        files.notes.append("the Hub's own security scan is not finished")
    return files


def _cached(repo: str, folder: Path) -> RepositoryFiles:
    note = (
        "the Hub was not asked: only the files in the cache were looked at, "
        "and its own security status is not known"
    )
    return FolderFiles(
        name=repo, sizes=_sizes(folder), commit=folder.name, notes=[note], folder=folder
    )


def _sizes(folder: Path) -> dict[str, int]:
    return {name: path.stat().st_size for name, path in files_below(folder)}


def _weights(
    names: Iterable[str],
    *,
    name: str,
    folder: Path | None = None,
    commit: str | None = None,
    token: str | None = None,
) -> list[str]:
    """What the adapters would choose, asked of them so that both can only agree."""
    from ngf_hub.adapters.fetch import ModelFiles

    files = ModelFiles(
        name=name,
        folder=folder or Path(),
        config={},
        commit=commit,
        _names=tuple(names),
        _token=token,
        _online=folder is None,
    )
    try:
        return files.choose()
    # None, or several: loading says so by itself, and reads none of them.
    except ModelError:
        return []
