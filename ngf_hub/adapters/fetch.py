"""Where a model's files come from: a folder, or the Hub at one pinned commit.

The config is fetched first. Only when it names a model that can be handled are
the weights fetched, at the same commit, and of those only what is needed:
safetensors, or a pickle where there is nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngf_hub.adapters.base import ModelSource
from ngf_hub.adapters.weights import Weights, read_weights
from ngf_hub.errors import ModelError
from ngf_hub.hub import cached_folder, hub_errors, not_reached
from ngf_hub.text import plain

CONFIG = "config.json"
_BESIDES_CONFIG = ("preprocessor_config.json", "processor_config.json", "README.md")
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
    _sha256: dict[str, str] = field(default_factory=dict)
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
            self.folder = _download(self.name, self.commit, names, self._token)
        weights = read_weights([self.folder / name for name in names])
        for name, found in weights.hashes.items():
            expected = self._sha256.get(name)
            if expected is not None and expected != found:
                raise ModelError(
                    f"{name} in the cache is not the file on the Hub (SHA-256 differs).",
                    f"Delete {self.folder / name} and run the same command again.",
                )
        return weights

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
            HubError: An index of shards cannot be fetched.
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
            self.folder = _download(self.name, self.commit, [index], self._token)
        try:
            content = json.loads((self.folder / index).read_text(encoding="utf-8"))
            names = sorted(set(content["weight_map"].values()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{index} of {self.name} cannot be read.", "Fetch the repository again."
            ) from error
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
        licence=_licence_of_card(folder),
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
    from huggingface_hub import HfApi

    with hub_errors(f"fetch model {repo}", token=token):
        try:
            info = HfApi(token=token).model_info(repo, revision=revision, files_metadata=True)
        except Exception as error:
            folder = cached_folder(repo, revision) if not_reached(error) else None
            if folder is None:
                raise
            return _cached(repo, folder)
    siblings = info.siblings or []
    names = tuple(sibling.rfilename for sibling in siblings)
    commit = info.sha
    if CONFIG in names:
        # By its name, so that the cache knows what the branch stood at when it is asked offline.
        _download(repo, revision, [CONFIG], token)
    wanted = [CONFIG, *_BESIDES_CONFIG, *(n for n in names if code and n.endswith(".py"))]
    folder = _download(repo, commit, [name for name in wanted if name in names], token)
    licence = info.card_data.get("license") if info.card_data else None
    return ModelFiles(
        name=repo,
        folder=folder,
        config=_read_config(folder, repo, names),
        commit=commit,
        licence=licence if isinstance(licence, str) else None,
        _names=names,
        _sha256={s.rfilename: s.lfs.sha256 for s in siblings if s.lfs is not None},
        _token=token,
        _online=True,
    )


def _download(repo: str, revision: str | None, names: Iterable[str], token: str | None) -> Path:
    """Fetch files of one revision into the cache; the folder that they lie in."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    folder = Path()
    for name in names:
        with hub_errors(f"fetch {name} of {repo}", token=token):
            path = Path(api.hf_hub_download(repo, name, revision=revision))
        folder = path.parents[name.count("/")]
    return folder


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
        licence=_licence_of_card(folder),
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
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"The {CONFIG} of {name} cannot be read.", "Fetch the repository again."
        ) from error
    if not isinstance(config, dict):
        raise ModelError(f"The {CONFIG} of {name} is no JSON object.")
    return config


def _licence_of_card(folder: Path) -> str | None:
    """The licence that a README.md states in its metadata."""
    from huggingface_hub import ModelCard

    try:
        licence = ModelCard.load(folder / "README.md").data.get("license")
    # A card that cannot be read states no licence, whatever is wrong with it.
    except Exception:
        return None
    return licence if isinstance(licence, str) else None
