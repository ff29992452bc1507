"""What files a dataset consists of, split by split, and how to read some of them.

``datasets`` works out the layout of a repository or folder, but its
``load_dataset`` then fetches every split. Here the layout is taken from its
builder, and another builder is made for just the files that are needed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ngf_hub.errors import DataError
from ngf_hub.text import plain

if TYPE_CHECKING:
    from datasets import Features
    from datasets.builder import DatasetBuilder

MODULES = ("parquet", "arrow", "imagefolder", "webdataset")
READ_AHEAD = 2**18
"""Bytes that streaming reads beyond what it needs; the file system's own choice is 5 MiB."""
_VERSION = 1
_OF_EVERY_CONFIG = {"name", "version", "data_dir", "data_files", "description", "features"}


@dataclass
class Layout:
    """The files of a dataset.

    Attributes:
        module: The builder of ``datasets`` that reads them, such as ``parquet``.
        files: Paths by split: absolute, or relative to a repository.
        features: The columns' types where the dataset's card declares them.
        options: Options for the builder from the dataset's card.
        config: The name of the configuration.
        licence: The licence that the dataset's card states.
    """

    module: str
    files: dict[str, list[str]]
    features: Features | None = None
    options: dict[str, Any] = field(default_factory=dict)
    config: str | None = None
    licence: str | None = None

    def to_json(self) -> str:
        """The layout as text; see :meth:`from_json`."""
        values = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        values["features"] = self.features.to_dict() if self.features else None
        return json.dumps({"version": _VERSION, **values})

    @classmethod
    def from_json(cls, text: str) -> Layout | None:
        """The layout of a text of :meth:`to_json`, ``None`` if it is of another version."""
        from datasets import Features

        values = json.loads(text)
        if values.pop("version", None) != _VERSION:
            return None
        if values["features"] is not None:
            values["features"] = Features.from_dict(values["features"])
        return cls(**values)


def find_layout(
    path: str,
    *,
    config: str | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> Layout:
    """The layout of a Hub repository or a folder, without fetching any data.

    Args:
        path: A Hub id or a folder.
        config: The configuration of a dataset that has several.
        revision: The commit of a Hub repository.
        token: For a repository that needs one.

    Raises:
        DataError: There is no such configuration, or one must be chosen.
    """
    import datasets

    try:
        builder = datasets.load_dataset_builder(path, name=config, revision=revision, token=token)
    except ValueError as error:
        if not re.search("Config name is missing|BuilderConfig .* not found", str(error)):
            raise
        names = datasets.get_dataset_config_names(path, revision=revision, token=token)
        listed = ", ".join(plain(name, 60) for name in names)
        what = "has several configurations"
        if config is not None:
            what = f"has no configuration {plain(config, 60)!r}"
        raise DataError(
            f"{plain(path, 100)} {what}.", f"Choose one with --dataset-config: {listed}."
        ) from error
    if builder.name not in MODULES:
        raise DataError(
            f"{plain(path, 100)} is stored as {plain(builder.name, 40)}, which holds no images.",
            "Give a dataset of parquet files or class folders of images.",
        )
    return _layout_of(builder)


def _layout_of(builder: DatasetBuilder) -> Layout:
    options = {}
    for entry in dataclasses.fields(builder.config):
        value = getattr(builder.config, entry.name)
        if entry.name not in _OF_EVERY_CONFIG and value != entry.default and _is_json(value):
            options[entry.name] = value
    return Layout(
        module=builder.name,
        files={
            str(split): list(files) for split, files in (builder.config.data_files or {}).items()
        },
        features=getattr(builder.config, "features", None) or builder.info.features,
        options=options,
        config=builder.config.name,
    )


def make_builder(
    layout: Layout, files: Mapping[str, Sequence[str]], *, token: str | None = None
) -> DatasetBuilder:
    """A builder for some of the files of a layout.

    Args:
        layout: Says how they are read.
        files: Local paths or ``hf://`` addresses by split.
        token: For addresses that need one.
    """
    import datasets
    from datasets.data_files import DataFilesDict, DataFilesList

    # Ready-made lists, because patterns would be resolved again, one request a file.
    data_files = DataFilesDict(
        {
            split: DataFilesList(list(paths), [_identity(path) for path in paths])
            for split, paths in files.items()
        }
    )
    options = dict(layout.options)
    if layout.module == "parquet":
        # The builder's own choice is the first row group's size, which may be 0.
        options.setdefault("batch_size", 100)
    return datasets.load_dataset_builder(
        layout.module,
        data_files=data_files,
        features=layout.features,
        token=token,
        storage_options={"hf": {"block_size": READ_AHEAD}},
        **options,
    )


def _identity(path: str) -> tuple[str, ...]:
    """What changes when a file does; an ``hf://`` address holds its commit."""
    if "://" in path:
        return (path,)
    status = os.stat(path)
    return (path, f"{status.st_mtime_ns}-{status.st_size}")


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
