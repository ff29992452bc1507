"""Where images come from: one interface to the Hub, folders, files and embedded sets."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.data.bombs import refuse_bombs
from ngf_hub.data.known import KNOWN, find_known
from ngf_hub.data.layout import Layout, make_builder
from ngf_hub.errors import DataError, HubError
from ngf_hub.hub import is_hub_id
from ngf_hub.text import plain

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

_FILES_AT_A_TIME = 16
_HUB_PREFIXES = ("hf://datasets/", "https://huggingface.co/datasets/")


class Source(ABC):
    """A dataset that was found; its images are fetched by the methods.

    Attributes:
        name: The Hub id, path or short name.
        layout: Its files.
        revision: The commit of a Hub dataset.
        notes: What a reader should know about how it was read.
        token: For a repository that needs one.
    """

    def __init__(self, name: str, layout: Layout, *, token: str | None = None) -> None:
        self.name = name
        self.layout = layout
        self.token = token
        self.revision: str | None = None
        self.notes: list[str] = []

    @property
    def splits(self) -> list[str]:
        """The names of its splits."""
        return list(self.layout.files)

    @property
    def trusts_paths(self) -> bool:
        """Whether a row may name a file instead of holding bytes.

        Only class folders may, whose paths were listed and not read from data:
        a foreign table must not point at the files of this machine.
        """
        return self.layout.module == "imagefolder"

    @property
    def can_stream(self) -> bool:
        """Whether streaming would save anything."""
        return True

    @abstractmethod
    def size(self, split: str) -> int:
        """How many bytes :meth:`tables` would download or copy for a split."""

    @abstractmethod
    def fetch(self, splits: Sequence[str]) -> dict[str, list[str]]:
        """Local paths of the files of some splits, downloaded if they must be."""

    @abstractmethod
    def addresses(self, split: str) -> list[str]:
        """Paths or ``hf://`` addresses of the files of a split."""

    def tables(self, splits: Sequence[str]) -> dict[str, Dataset]:
        """The rows of some splits, memory-mapped; files of other splits are not touched."""
        paths = self.fetch(splits)
        refuse_bombs(path for files in paths.values() for path in files)
        # Class folders get their class names from the folders of all splits together.
        together = self.layout.module == "imagefolder"
        groups = [list(paths)] if together else [[split] for split in paths]
        tables: dict[str, Dataset] = {}
        for group in groups:
            builder = make_builder(self.layout, {split: paths[split] for split in group})
            builder.download_and_prepare()
            tables.update({split: builder.as_dataset(split=split) for split in group})
        return tables

    def streams(self, split: str, seed: int) -> Iterator[IterableDataset]:
        """Streams that together hold a split once, in a random order of its files.

        A table's files come some at a time, so that no more of their indices
        are read than are needed. Their row groups are mixed.
        """
        from ngf_hub.data.split import permutation

        paths = self.addresses(split)
        refuse_bombs(paths)
        paths = [paths[i] for i in permutation(len(paths), seed, f"files of {split}")]
        in_parts = self.layout.module == "parquet"
        step = _FILES_AT_A_TIME if in_parts else max(1, len(paths))
        for start in range(0, len(paths), step):
            builder = make_builder(
                self.layout, {split: paths[start : start + step]}, token=self.token
            )
            stream = builder.as_streaming_dataset(split=split)
            if in_parts and hasattr(stream, "reshard"):  # datasets >= 4.6
                stream = stream.reshard()
            yield stream


def open_source(
    dataset: str,
    *,
    config: str | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> Source:
    """Find a dataset by what the user wrote.

    In this order: a short name of :data:`KNOWN`, a file or folder that exists,
    a Hub id. (To read a folder that has a short name, write ``./cifar10``.)

    Args:
        dataset: The short name, path or Hub id.
        config: The configuration of a dataset that has several.
        revision: Branch, tag or commit of a Hub dataset.
        token: For a repository that needs one.

    Raises:
        DataError: It is none of these, or holds no images.
        HubError: The Hub has no such dataset, or cannot be asked.
    """
    from ngf_hub.data.digits import DigitsSource
    from ngf_hub.data.hub import open_hub
    from ngf_hub.data.local import open_local

    name = dataset.strip()
    for prefix in _HUB_PREFIXES:
        if name.startswith(prefix):
            return open_hub(name[len(prefix) :].strip("/"), config, revision, token)
    if name.lower() in KNOWN:
        known = find_known(name)
        assert known is not None
        if known.hub_id is None:
            return DigitsSource()
        return open_hub(known.hub_id, config, revision, token)
    path = Path(os.path.expanduser(name))
    if name and path.exists():
        return open_local(path, config)
    if not is_hub_id(name) or name.startswith((".", "~")):
        raise DataError(
            f"There is no file or folder {plain(name)!r}, and it is no Hub id.",
            f"Give a path, a Hub id such as org/name, or one of {', '.join(KNOWN)}.",
        )
    try:
        return open_hub(name, config, revision, token)
    except HubError as error:
        if "/" in name:
            raise
        hint = f"{error.hint} The short names are {', '.join(KNOWN)}."
        raise HubError(error.message, hint) from error
