"""The rows of a split as encoded images and label values: at random, or as a stream."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.data.columns import Columns
from ngf_hub.data.images import ImageSet, ImageStore
from ngf_hub.data.labels import Labels, is_unlabelled
from ngf_hub.data.split import permutation
from ngf_hub.errors import DataError
from ngf_hub.progress import Track, silent
from ngf_hub.text import plain

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset, IterableDataset

    from ngf_hub.data.source import Source

SHUFFLE_BUFFER = 1000
MAX_ENCODED = 256 << 20
"""Bytes of one encoded picture."""
_UNLABELLED_AT_FIRST = 1000


class Rows(ABC):
    """Rows of one split; those without a label are left out where others have one.

    Attributes:
        split: The name of the split.
        columns: Which columns were read.
        values: The value of the label column by row, or ``None`` without one.
        unlabelled: How many rows have no label.
    """

    split: str
    columns: Columns
    values: list[Any] | None = None
    unlabelled: int = 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def order(self, seed: int, use: str) -> np.ndarray:
        """All rows in a random order."""

    @abstractmethod
    def read(self, row: int) -> bytes:
        """The encoded picture of a row."""

    def images(self, rows: np.ndarray, labels: Labels) -> ImageSet:
        """Some of the rows as images."""
        chosen = [int(row) for row in rows]
        codes = None
        if self.values is not None:
            codes = labels.encode([self.values[row] for row in chosen])
        return ImageSet(self.read, chosen, labels=codes, class_names=labels.names, split=self.split)


class TableRows(Rows):
    """Rows of a split that lies on this machine, read at random.

    Args:
        table: The rows.
        columns: Which columns are read.
        split: The name of the split.
        trusts_paths: See :attr:`Source.trusts_paths`.
    """

    def __init__(self, table: Dataset, columns: Columns, split: str, trusts_paths: bool) -> None:
        import numpy as np

        self.split = split
        self.columns = columns
        self._pictures = undecoded(table.select_columns([columns.image]), columns.image)
        self._trusts_paths = trusts_paths
        self.all = np.arange(len(table))
        if columns.label is not None:
            self.values = table.select_columns([columns.label])[:][columns.label]
            labelled = [row for row, value in enumerate(self.values) if not is_unlabelled(value)]
            self.all = np.array(labelled, dtype=int)
        self.unlabelled = len(table) - len(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def order(self, seed: int, use: str) -> np.ndarray:
        """See :meth:`Rows.order`."""
        rows: np.ndarray = self.all[permutation(len(self.all), seed, use)]
        return rows

    def read(self, row: int) -> bytes:
        """See :meth:`Rows.read`."""
        value = self._pictures[row][self.columns.image]
        return encoded(value, f"row {row} of split {self.split}", self._trusts_paths)


class StreamRows(Rows):
    """The first rows of a split in a random order of its files; only these are fetched.

    Args:
        source: The dataset.
        split: The name of the split.
        count: How many rows are fetched, if there are as many.
        seed: Decides the order.
        find: Finds the columns from the features.
        track: Shows progress.

    Raises:
        DataError: A long run of rows has no label.
    """

    def __init__(
        self,
        source: Source,
        split: str,
        count: int,
        seed: int,
        find: Callable[[Any], Columns],
        track: Track = silent,
    ) -> None:
        self.split = split
        self.columns = Columns("")
        self._store = ImageStore()
        values: list[Any] = []
        examples = self._labelled(source, count, seed, find)
        for picture, value in track(examples, f"Streaming {plain(split, 40)}", count):
            self._store.append(picture)
            values.append(value)
        if self.columns.label is not None:
            self.values = values

    def __len__(self) -> int:
        return len(self._store)

    def order(self, seed: int, use: str) -> np.ndarray:
        """See :meth:`Rows.order`; the stream is in a random order as it comes."""
        import numpy as np

        return np.arange(len(self))

    def read(self, row: int) -> bytes:
        """See :meth:`Rows.read`."""
        return self._store.read(row)

    def _labelled(
        self, source: Source, count: int, seed: int, find: Callable[[Any], Columns]
    ) -> Iterator[tuple[bytes, Any]]:
        taken = 0
        for example in self._examples(source, count, seed, find):
            label = self.columns.label
            value = None if label is None else example[label]
            if label is not None and is_unlabelled(value):
                self.unlabelled += 1
                if taken == 0 and self.unlabelled >= _UNLABELLED_AT_FIRST:
                    return
                continue
            where = f"row {taken} of the stream of split {self.split}"
            cell = example[self.columns.image]
            yield encoded(cell, where, source.trusts_paths, token=source.token), value
            taken += 1
            # Looked at before the next row is asked for: that one may cost a download.
            if taken == count:
                return

    def _examples(
        self, source: Source, count: int, seed: int, find: Callable[[Any], Columns]
    ) -> Iterator[Mapping[str, Any]]:
        for stream in source.streams(self.split, seed):
            if stream.features is None:
                stream = stream._resolve_features()
            self.columns = find(stream.features)
            wanted = [self.columns.image, self.columns.label]
            stream = stream.select_columns([name for name in wanted if name is not None])
            stream = undecoded(stream, self.columns.image)
            yield from shuffled(stream, seed, min(SHUFFLE_BUFFER, 2 * count))


def shuffled(stream: IterableDataset, seed: int, buffer_size: int) -> IterableDataset:
    """The stream with its shards in a random order, and its rows mixed in a buffer."""
    options: dict[str, Any] = {"seed": abs(seed), "buffer_size": buffer_size}
    if "max_buffer_input_shards" in inspect.signature(stream.shuffle).parameters:
        # Shards are row groups in a random order already. To read several at once would
        # fetch more than is used, and wait five seconds for the readers to end.
        options["max_buffer_input_shards"] = 1
    return stream.shuffle(**options)


def undecoded(rows: Any, column: str) -> Any:
    """The same rows with the image column as bytes or paths."""
    from datasets import Image

    if isinstance(rows.features[column], Image):
        rows = rows.cast_column(column, Image(decode=False))
    return rows


def encoded(value: Any, where: str, trusts_paths: bool, token: str | None = None) -> bytes:
    """The encoded picture of a cell: bytes, or a struct of bytes and path.

    Raises:
        DataError: There is none, or only a path that must not be followed.
    """
    where = plain(where, 120)
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
    else:
        data, path = value, None
    if data is not None:
        return _bounded(bytes(data), where)
    if path is None:
        raise DataError(f"There is no image at {where}.", "Remove that row.")
    if not trusts_paths:
        raise DataError(
            f"The image at {where} is only a path, which is not followed.",
            "Use a dataset that holds the images themselves.",
        )
    if "://" not in path:
        try:
            with Path(path).open("rb") as file:
                return _bounded(file.read(MAX_ENCODED + 1), where)
        except OSError as error:
            raise DataError(f"The image at {where} cannot be read: {plain(error)}.") from error
    from datasets import DownloadConfig
    from datasets.utils.file_utils import xopen

    with xopen(path, "rb", download_config=DownloadConfig(token=token)) as file:
        return _bounded(bytes(file.read(MAX_ENCODED + 1)), where)


def _bounded(data: bytes, where: str) -> bytes:
    if len(data) > MAX_ENCODED:
        raise DataError(
            f"The image at {where} has more than {MAX_ENCODED >> 20} MiB, as no picture has.",
            "Remove it from the dataset, or make it smaller.",
        )
    return data
