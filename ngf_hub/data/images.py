"""A set of encoded images with labels, decoded one at a time when they are asked for."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ngf_hub.data.picture import decode
from ngf_hub.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Read = Callable[[int], bytes]
"""The encoded picture of a row; called from several threads at once."""

MEMORY_BOUND = 256 * 2**20


class ImageSet:
    """Images of one split with their labels; nothing is decoded before it is read.

    Attributes:
        labels: Class indices of the data (N,), int64, or ``None``.
        class_names: The data's class names by index, or ``None``.
        split: The name of the split.
        rows: Which rows of the split these are; for a stream, positions in it.
    """

    def __init__(
        self,
        read: Read,
        rows: Sequence[int],
        *,
        labels: Tensor | Sequence[int] | None = None,
        class_names: Sequence[str] | None = None,
        split: str = "given",
    ) -> None:
        import torch

        self._read = read
        self.rows = list(rows)
        self.labels = None if labels is None else torch.as_tensor(labels, dtype=torch.int64)
        self.class_names = list(class_names) if class_names is not None else None
        self.split = split
        if self.labels is not None and self.labels.shape != (len(self.rows),):
            raise ValueError(f"{len(self.rows)} rows with labels of shape {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Image, int | None]:
        """The decoded image and its label.

        Raises:
            DataError: The image cannot be decoded; the row is named.
        """
        label = None if self.labels is None else int(self.labels[index])
        return decode(self.encoded(index), self.where(index)), label

    def __repr__(self) -> str:
        labelled = "without labels" if self.labels is None else "labelled"
        return f"<ImageSet of {len(self)} {labelled} images of split {self.split!r}>"

    def encoded(self, index: int) -> bytes:
        """The encoded picture, as the dataset has it."""
        return self._read(self.rows[index])

    def where(self, index: int) -> str:
        """Names the image in messages."""
        return f"row {self.rows[index]} of split {plain(self.split, 60)}"

    def select(self, indices: Iterable[int]) -> ImageSet:
        """The images at some positions of this set, in that order."""
        positions = list(indices)
        return ImageSet(
            self._read,
            [self.rows[position] for position in positions],
            labels=None if self.labels is None else self.labels[positions],
            class_names=self.class_names,
            split=self.split,
        )


class ImageStore:
    """Encoded pictures taken from a stream: in memory, and on disk above a bound.

    The file is a nameless temporary one that the system removes by itself.
    """

    def __init__(self, memory_bound: int = MEMORY_BOUND) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=memory_bound)  # noqa: SIM115
        self._places: list[tuple[int, int]] = []
        self._end = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._places)

    def append(self, data: bytes) -> int:
        """Keep a picture; its row is the count of those before it."""
        with self._lock:
            self._file.seek(self._end)
            self._file.write(data)
            self._places.append((self._end, len(data)))
            self._end += len(data)
            return len(self._places) - 1

    def read(self, row: int) -> bytes:
        """The picture of a row."""
        start, length = self._places[row]
        with self._lock:
            self._file.seek(start)
            return self._file.read(length)
