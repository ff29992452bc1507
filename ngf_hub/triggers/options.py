"""The ``key=value`` options of a trigger, read with clear errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ngf_hub.errors import TriggerError


class Options:
    """Options that complain about what nobody asked for.

    Args:
        values: The texts by key.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.known: set[str] = set()

    def text(self, key: str) -> str | None:
        """The text of a key, ``None`` if it was not given."""
        self.known.add(key)
        return self.values.get(key)

    def path(self, key: str) -> Path | None:
        """The text of a key as a path."""
        value = self.text(key)
        return None if value is None else Path(value).expanduser()

    def whole(self, key: str, *, low: int) -> int | None:
        """The whole number of a key, at least ``low``."""
        value = self.text(key)
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal()) or int(value) < low:
            raise TriggerError(f"Trigger option {key}={value!r} must be a whole number >= {low}.")
        return int(value)

    def share(self, key: str, default: float) -> float:
        """The number of a key in (0, 1]."""
        value = self.text(key)
        try:
            number = default if value is None else float(value)
        except ValueError:
            number = 0.0
        if not 0 < number <= 1:
            raise TriggerError(f"Trigger option {key}={value!r} must be a number in (0, 1].")
        return number

    def positive(self, key: str, default: float) -> float:
        """The number of a key, above 0."""
        value = self.text(key)
        try:
            number = default if value is None else float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise TriggerError(f"Trigger option {key}={value!r} must be a number above 0.")
        return number

    def finish(self, family: str) -> None:
        """Refuse options that the family did not read.

        Raises:
            TriggerError: There are some.
        """
        unknown = sorted(set(self.values) - self.known)
        if unknown:
            raise TriggerError(
                f"Unknown option {unknown[0]!r} of the {family} trigger.",
                f"Known: {', '.join(sorted(self.known))}.",
            )
