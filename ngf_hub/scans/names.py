"""Which models to scan: those that a file lists, those of an author."""

from __future__ import annotations

import sys
from pathlib import Path

from ngf_hub.errors import HubError, NgfHubError
from ngf_hub.hub import hub_errors
from ngf_hub.text import plain

TASK = "image-classification"


def read_list(path: str) -> list[str]:
    """The models that a text file names, one a line; ``-`` reads standard input.

    Blank lines are passed over, and what follows a ``#`` at the start of a line
    or after a space.

    Raises:
        NgfHubError: It cannot be read, or names none.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).expanduser().read_text("utf-8-sig")
    except (OSError, ValueError, RuntimeError) as error:
        reason = "it is no text" if isinstance(error, ValueError) else _strerror(error)
        raise NgfHubError(
            f"The list {plain(path)} cannot be read: {reason}.",
            "Give a text file with one model a line.",
        ) from error
    lines = (f" {line}".partition(" #")[0].strip() for line in text.splitlines())
    names = [line for line in lines if line]
    if not names:
        raise NgfHubError(f"The list {plain(path)} names no model.", "Write one model a line.")
    return names


def _strerror(error: BaseException) -> str:
    return plain(getattr(error, "strerror", None) or error)


def models_of(author: str, *, limit: int | None = None, token: str | None = None) -> list[str]:
    """The image classifiers of a user or organisation on the Hub, the most downloaded first.

    Args:
        author: Whose.
        limit: How many at most.
        token: Instead of the one that Hub clients find by themselves.

    Raises:
        HubError: The Hub cannot be asked, or there are none.
    """
    from huggingface_hub import HfApi

    with hub_errors(f"list the models of {author}", token=token):
        listed = HfApi(token=token).list_models(
            author=author, filter=TASK, sort="downloads", limit=limit
        )
        names = [model.id for model in listed]
    if not names:
        raise HubError(
            f"{plain(author)!r} has no image classifiers on the Hub, or they are private.",
            "Check the name on the Hub.",
        )
    return names
