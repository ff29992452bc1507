"""What of this process's environment the workers of a cluster are given.

Settings travel as they are. The token travels apart from them, in the memory of
the processes that need it: never in the environment that a cluster is started
with, which its processes pass on, nor in Ray's ``runtime_env``, which is logged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN")
_PREFIXES = ("HF_", "TRANSFORMERS_", "NGF_HUB_")
# Where something lies on this machine says nothing of another.
_PLACES = ("_CACHE", "_HOME", "_PATH", "_DIR")
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "KEY")


class Secret:
    """A text that shows nowhere by accident: not in a message, a traceback or a log."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "<secret>"

    def reveal(self) -> str:
        """The text."""
        return self._value


@dataclass(frozen=True)
class Environment:
    """What a worker is given before it imports anything that reads it.

    Attributes:
        settings: Environment variables that are no secrets.
        token: For the Hub.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    token: Secret | None = None

    @classmethod
    def current(cls, token: str | None = None) -> Environment:
        """That of this process.

        Args:
            token: Instead of the one that Hub clients find by themselves.
        """
        from huggingface_hub import constants, get_token

        found = token or get_token()
        settings = {name: value for name, value in os.environ.items() if _travels(name)}
        # Also where it is not set here: the models were looked up there, and in this way.
        settings["HF_ENDPOINT"] = constants.ENDPOINT
        settings["HF_HUB_OFFLINE"] = str(int(constants.HF_HUB_OFFLINE))
        return cls(settings, Secret(found) if found else None)

    def apply(self) -> None:
        """Take it over into this process."""
        os.environ.update(self.settings)
        if self.token is not None:
            os.environ["HF_TOKEN"] = self.token.reveal()


def _travels(name: str) -> bool:
    secret = any(part in name for part in _SECRETS) and name != "HF_HUB_DISABLE_IMPLICIT_TOKEN"
    return name.startswith(_PREFIXES) and not name.endswith(_PLACES) and not secret


@contextmanager
def without_tokens() -> Iterator[None]:
    """No token in the environment inside, so that no process started there has one."""
    taken = {name: os.environ.pop(name) for name in TOKENS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
