"""Which model a text names: a folder here, or a repository of the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ngf_hub.errors import HubError, ModelError
from ngf_hub.hub import is_hub_id
from ngf_hub.paths import existing
from ngf_hub.text import plain

# As timm writes them.
_HUB_PREFIXES = ("hf-hub:", "hf_hub:")
_LOCAL_PREFIX = "local-dir:"


@dataclass(frozen=True)
class HubModel:
    """A model repository of the Hub.

    Attributes:
        repo: Its id.
        revision: Branch, tag or commit; ``None`` for the default branch.
    """

    repo: str
    revision: str | None = None


def locate(source: str | Path, *, revision: str | None = None) -> Path | HubModel:
    """The folder or the repository that a text names; the Hub is not asked.

    A folder that is here goes before a repository of the same name. ``hf-hub:`` and
    ``local-dir:`` in front, as timm writes them, decide for one of the two.

    Args:
        source: ``org/model``, ``hf-hub:org/model@revision``, the path of a folder.
        revision: Branch, tag or commit of a Hub id; goes before one in the text.

    Raises:
        HubError: It is neither.
        ModelError: It is a file.
    """
    text = str(source)
    prefix = next((p for p in _HUB_PREFIXES if text.startswith(p)), None)
    name = text.removeprefix(prefix or _LOCAL_PREFIX)
    path = existing(name) if prefix is None and name else None
    if path is not None and path.is_dir():
        return path
    if path is not None:
        raise ModelError(
            f"{plain(name)} is a file.", "Give the folder that it lies in, with its config.json."
        )
    if prefix is not None and "@" in name:
        name, _, named = name.partition("@")
        revision = revision or named
    if not is_hub_id(name) or text.startswith(_LOCAL_PREFIX):
        raise HubError(
            f"{plain(name)!r} is neither a folder here nor the id of a Hub repository.",
            "Give org/model, or the path of a folder.",
        )
    return HubModel(name, revision)
