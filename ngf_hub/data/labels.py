"""Labels of a dataset as class indices, whatever its label column holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ngf_hub.data.columns import Columns
from ngf_hub.errors import DataError

UNLABELLED = -1


class Labels:
    """The classes of a dataset, and the index of each label.

    Args:
        columns: Says what the label column holds.
        values: The label values that occur, of all splits in use.

    Attributes:
        names: The class names by index, or ``None`` where the data has none.
        count: The number of classes: of the names, else one more than the
            largest index that occurs; ``None`` without labels.
    """

    def __init__(self, columns: Columns, values: Iterable[Any]) -> None:
        self._index: dict[str, int] = {}
        self.names: list[str] | None = None
        self.count: int | None = None
        present = [value for value in set(values) if not is_unlabelled(value)]
        if columns.kind == "class":
            self.names = list(columns.names) if columns.names else None
            self.count = len(columns.names or ())
        elif columns.kind == "index":
            self.count = 1 + max((int(value) for value in present), default=-1)
        elif columns.kind == "name":
            self.names = sorted(present, key=_name_order)
            self.count = len(self.names)
            self._index = {name: index for index, name in enumerate(self.names)}

    def encode(self, values: Sequence[Any]) -> list[int]:
        """Class indices of label values; ``UNLABELLED`` where there is none.

        Raises:
            DataError: An index is not below the number of declared classes.
        """
        if self._index:
            return [self._index.get(value, UNLABELLED) for value in values]
        codes = [UNLABELLED if is_unlabelled(value) else int(value) for value in values]
        highest = max(codes, default=UNLABELLED)
        if self.count is not None and highest >= self.count:
            raise DataError(
                f"A label is {highest}, but the label column declares {self.count} classes.",
                "Mend the dataset, or choose another --label-column.",
            )
        return codes


def is_unlabelled(value: Any) -> bool:
    """Whether it stands for no label: nothing, or -1, as in blind test sets."""
    return value is None or value == "" or (isinstance(value, int) and value < 0)


def _name_order(name: str) -> tuple[int, str]:
    """Numbers by value, so that class "10" does not come before class "2"."""
    return (int(name), "") if name.isascii() and name.isdigit() else (-1, name)
