"""Where a model's files come from: a folder, or the Hub at one pinned commit.

The config is fetched first. Only when it names a model that can be handled are
the weights fetched, at the same commit, and of those only what is needed:
safetensors, or a pickle where there is nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.adapters.base import ModelSource
from ngf_hub.adapters.weights import Weights, read_weights
from ngf_hub.bounded_files import leads_out, read_json
from ngf_hub.downloads import ask_for_model, download
from ngf_hub.errors import HubError, ModelError
from ngf_hub.hub import NETWORK
from ngf_hub.licences import licence_of, licence_text
from ngf_hub.text import plain

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

CONFIG = "config.json"
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_BESIDES_CONFIG = (*_PROCESSORS, "README.md")
# Of an index of shards in bytes: it names every tensor.
_MAX_INDEX = 64 << 20
# In the order in which timm and transformers look for them.
_SAFE = ("model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
_PICKLED = ("pytorch_model.bin", "pytorch_model.pth", "model.pth", "open_clip_pytorch_model.bin")
_PICKLE_ENDINGS = (".bin", ".pth", ".pt", ".pth.tar", ".ckpt")
# Weights of other frameworks, optimiser states and the like are no checkpoints of PyTorch.
_NOT_WEIGHTS = ("training_args.bin", "optimizer.", "scheduler.", "rng_state", "adapter_model")


@dataclass
class ModelFiles:
    """A model repository of which the config was read and the weights may not be there yet.

    Attributes:
        name: The Hub id or the folder, as the user gave it.
        folder: Where its files lie.
        config: The content of its ``config.json``.
        commit: The commit hash of a Hub model.
        licence: What its repository states.
        notes: What a reader should know.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    commit: str | None = None
    licence: str | None = None
    notes: list[str] = field(default_factory=list)
    _names: tuple[str, ...] = ()
    _entries: dict[str, RepoSibling] = field(default_factory=dict)
    _token: str | None = None
    _online: bool = False

    def has(self, name: str) -> bool:
        """Whether the repository holds a file."""
        return name in self._names

    def weights(self) -> Weights:
        """Fetch, check and read the weights.

        Raises:
            HubError: They cannot be fetched.
            ModelError: There are none, or they are broken.
            UnsafeFileError: There is only a pickle, and it is refused.
        """
        names = self.choose()
        if self._online:
            self._fetch(names)
        return read_weights([self.folder / name for name in names])

    def _fetch(self, names: Iterable[str]) -> None:
        """Have files in the cache, each what the Hub says it is."""
        for name in names:
            path = download(
                self.name,
                name,
                revision=self.commit,
                token=self._token,
                entry=self._entries.get(name),
            )
            self.folder = path.parents[name.count("/")]

    def source(self, weights: Weights, *notes: str) -> ModelSource:
        """What the report and the card say about where the model came from."""
        return ModelSource(
            name=self.name,
            commit=self.commit,
            licence=self.licence,
            files=weights.hashes,
            notes=(*self.notes, *weights.notes, *notes),
        )

    def choose(self) -> list[str]:
        """The names of the files that make up the checkpoint, which are not fetched yet.

        Raises:
            HubError: An index of shards cannot be fetched, or the cache holds no weights.
            ModelError: There is no checkpoint, or there are several.
        """
        for known, ending in ((_SAFE, (".safetensors",)), (_PICKLED, _PICKLE_ENDINGS)):
            for name in known:
                if self.has(name):
                    return [name]
                if self.has(f"{name}.index.json"):
                    return self._shards(f"{name}.index.json")
            others = [
                name
                for name in self._names
                if name.endswith(ending) and "/" not in name and not name.startswith(_NOT_WEIGHTS)
            ]
            if len(others) == 1:
                return others
            if others:
                raise ModelError(
                    f"{self.name} holds several checkpoints: {plain(', '.join(others), 120)}.",
                    f"Name the one that is meant {known[0]}.",
                )
        if self.commit is not None and not self._online:
            raise HubError(
                f"The cache lacks the weights of {self.name}, and the Hub was not reached.", NETWORK
            )
        adapter = any(name.startswith("adapter_") for name in self._names)
        raise ModelError(
            f"{self.name} holds no PyTorch weights" + (", only an adapter." if adapter else "."),
            "Merge the adapter into its model first."
            if adapter
            else "It needs model.safetensors beside its config.json.",
        )

    def _shards(self, index: str) -> list[str]:
        """The files that an index names."""
        if self._online:
            self._fetch([index])
        try:
            content = read_json(self.folder / index, _MAX_INDEX)
            names = sorted(set(content["weight_map"].values()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{index} of {self.name} cannot be read.", "Fetch the repository again."
            ) from error
        # Only names of the repository's own files: none is absolute, or leads out of it.
        missing = [name for name in names if not self.has(name)]
        if missing:
            raise ModelError(
                f"{plain(missing[0])}, which {index} of {self.name} names, is missing.",
                "Fetch the repository again.",
            )
        return names


def open_folder(folder: Path) -> ModelFiles:
    """The model in a local folder.

    Raises:
        ModelError: There is no readable config in it.
    """
    names = tuple(path.name for path in folder.iterdir() if path.is_file())
    return ModelFiles(
        name=str(folder),
        folder=folder,
        config=_read_config(folder, str(folder), names),
        licence=licence_of(folder),
        _names=names,
    )


def open_hub(
    repo: str, *, revision: str | None = None, token: str | None = None, code: bool = False
) -> ModelFiles:
    """The model of a Hub repository at the commit that the revision is now.

    Args:
        repo: The id.
        revision: Branch, tag or commit; the default branch if left out.
        token: Instead of the one that Hub clients find by themselves.
        code: Fetch the repository's Python files too.

    Raises:
        HubError: It cannot be fetched.
        ModelError: It holds no readable config.
    """
    info = ask_for_model(repo, revision=revision, token=token)
    if isinstance(info, Path):
        return _cached(repo, info)
    entries = {sibling.rfilename: sibling for sibling in info.siblings or []}
    files = ModelFiles(
        name=repo,
        folder=Path(),
        config={},
        commit=info.sha,
        licence=licence_text(info.card_data.get("license") if info.card_data else None),
        _names=tuple(entries),
        _entries=entries,
        _token=token,
        _online=True,
    )
    if CONFIG in entries:
        # By its name, so that the cache knows what the branch stood at when it is asked offline.
        download(repo, CONFIG, revision=revision, token=token)
    wanted = [CONFIG, *_BESIDES_CONFIG, *(n for n in entries if code and n.endswith(".py"))]
    files._fetch(name for name in wanted if name in entries)
    files.config = _read_config(files.folder, repo, files._names)
    return files


def _cached(repo: str, folder: Path) -> ModelFiles:
    """What the cache holds of a repository that cannot be asked for."""
    names = tuple(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    return ModelFiles(
        name=repo,
        folder=folder,
        config=_read_config(folder, repo, names),
        commit=folder.name,
        licence=licence_of(folder),
        notes=["read from the cache: the Hub was not asked for a newer commit"],
        _names=names,
    )


def _read_config(folder: Path, name: str, names: Iterable[str]) -> dict[str, Any]:
    if CONFIG not in names:
        adapter = "adapter_config.json" in names
        raise ModelError(
            f"{name} has no {CONFIG}" + (": it is an adapter and no model." if adapter else "."),
            "Merge it into its model first."
            if adapter
            else "Give a repository or folder that timm or transformers can load.",
        )
    _refuse_links(folder, name, names)
    read: dict[str, Any] = {}
    for file in (CONFIG, *_PROCESSORS):
        if file not in names:
            continue
        try:
            read[file] = read_json(folder / file)
        except (OSError, ValueError) as error:
            why = f": {error}" if isinstance(error, ValueError) else ""
            raise ModelError(
                f"The {file} of {name} cannot be read{why}.", "Fetch the repository again."
            ) from error
    config = read[CONFIG]
    if not isinstance(config, dict):
        raise ModelError(f"The {CONFIG} of {name} is no JSON object.")
    return config


def _refuse_links(folder: Path, name: str, names: Iterable[str]) -> None:
    """Refuse configs that are really another file of this machine, which would be published."""
    for file in (CONFIG, *_BESIDES_CONFIG):
        if file in names and leads_out(folder / file, folder):
            raise ModelError(
                f"{file} of {name} is a link to a file outside of it, which is not followed.",
                "If that file is meant, copy it there.",
            )
