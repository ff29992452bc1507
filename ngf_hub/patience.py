"""Asking the Hub again where it failed for a moment, and never waiting for it without an end.

The client library asks again by itself for some requests (uploads, pages of lists, a
download that stops midway) and not for others (what a repository holds, the headers of a
file, a connection that is reset), and most of its requests wait for an answer for ever.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from json import JSONDecodeError
from typing import Any, TypeVar

T = TypeVar("T")

RETRIES = "NGF_HUB_RETRIES"
"""The environment variable that says how often a request is made again; 0 for never."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
"""The Hub may ask for so many seconds of waiting (it counts requests by five minutes); if it
asks for more, the user is told."""
PATIENCE_S = 45.0
"""Nothing is begun again so many seconds after it was begun first, the Hub's own wishes apart."""
SILENCE_S = 60.0
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_own_process = False
_log = logging.getLogger(__name__)


class GarbledAnswerError(Exception):
    """What a server answered is not what a Hub says."""


def patiently(call: Callable[[], T], *, kept: bool = False) -> T:
    """The result of a call, which is made again where the Hub failed for a moment.

    That is: no connection, one that broke off, no answer in time or one that cannot be
    read, a download of the wrong length, and the statuses 408, 425, 429, 500, 502, 503 and
    504. The waits double, from a second on; a ``Retry-After`` is heeded.

    Args:
        call: What can be done twice without harm.
        kept: There is something in the cache instead: who works without a network does not
            wait long for it.

    Raises:
        Exception: What the last call raised.
        GarbledAnswerError: The answer of the last call cannot be read.
    """
    begun = time.monotonic()
    for attempt in range(_retries()):
        try:
            return _understood(call)
        except Exception as error:
            asked = asked_wait(error)
            wait = FIRST_WAIT_S * 2**attempt if asked is None else asked
            late = asked is None and time.monotonic() + wait > begun + PATIENCE_S
            offline = kept and attempt > 0 and _no_connection(error)
            if late or offline or wait > LONGEST_WAIT_S or not is_transient(error):
                raise
            _log.info("Asking the Hub again in %.0f s: %s", wait, type(error).__name__)
        time.sleep(wait)
    return _understood(call)


def _understood(call: Callable[[], T]) -> T:
    """The result of a call, whose answer the client library may stumble over."""
    try:
        return call()
    except (JSONDecodeError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        if not _of_client(error):
            raise
        raise GarbledAnswerError(type(error).__name__) from error


def _of_client(error: BaseException) -> bool:
    """Whether the client library or its HTTP library raised an error while it read an answer."""
    from huggingface_hub import HfApi

    answering = {HfApi.__module__.split(".")[0], "httpx", "httpx2", "requests"}
    frame = error.__traceback__
    modules = set()
    while frame is not None:
        modules.add(frame.tb_frame.f_globals.get("__name__", "").split(".")[0])
        frame = frame.tb_next
    return bool(modules & answering)


def _retries() -> int:
    given = os.environ.get(RETRIES, "")
    return int(given) if given.isascii() and given.isdecimal() else 3


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed a moment later."""
    from huggingface_hub.errors import HfHubHTTPError

    from ngf_hub.hub import is_of_http_client

    if "OfflineMode" in type(error).__name__:
        return False
    if isinstance(error, GarbledAnswerError) or client_was_closed(error):
        return True
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _TRANSIENT
    if is_of_http_client(error):
        told = f"{type(error).__name__} {error}".lower()
        return not any(word in told for word in ("proxy", "certificate", "unsupported"))
    if isinstance(error, OSError) and "consistency check failed" in str(error).lower():
        return True
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    # The client library, datasets and transformers raise their own from one of the above.
    return error.__cause__ is not None and is_transient(error.__cause__)


def _no_connection(error: BaseException) -> bool:
    """Whether not even a connection was made."""
    if "Connect" in type(error).__name__:
        return True
    return error.__cause__ is not None and _no_connection(error.__cause__)


def client_was_closed(error: BaseException) -> bool:
    """Whether a thread met the client that another one had closed: the server was gone."""
    return isinstance(error, RuntimeError) and "client has been closed" in str(error)


def asked_wait(error: BaseException) -> float | None:
    """The seconds that the answer asks to wait, if it is one that does."""
    response = getattr(error, "response", None)
    asked = None if response is None else _retry_after(response)
    if asked is None and error.__cause__ is not None:
        return asked_wait(error.__cause__)
    return asked


def _retry_after(response: Any) -> float | None:
    given = response.headers.get("retry-after", "")
    return float(given) if given.isascii() and given.isdecimal() else None


def silence() -> float:
    """How many seconds the Hub may take for an answer before it counts as gone.

    ``HF_HUB_DOWNLOAD_TIMEOUT`` where it is set, else 60: the Hub is given longer to look
    into a repository or to take in a commit than to begin a download.
    """
    from huggingface_hub import constants

    given = os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT")
    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT) if given else SILENCE_S


def own_process() -> None:
    """Say that this process is the command line: every client of the Hub in it gets limits."""
    global _own_process
    _own_process = True


@contextmanager
def no_endless_waits() -> Iterator[None]:
    """Give the client's requests an end inside the block where they have none.

    No answer is waited for longer than :func:`silence`, and a server that asks for a
    longer pause than :data:`LONGEST_WAIT_S` is not obeyed: the client library would sleep
    for as long as it is told to. A client that the user made with a time-out keeps it.
    """
    from huggingface_hub import get_session

    if _own_process:
        _limit_all_clients()
    session = get_session()
    before = getattr(session, "timeout", None)
    # What the client library makes waits for ever for everything.
    if before is None or getattr(before, "read", 0) is not None:
        yield
        return
    hooks = session.event_hooks
    _limit(session)
    try:
        yield
    finally:
        session.timeout, session.event_hooks = before, hooks


def _limit(client: Any) -> Any:
    """Give a client a time-out, and have it tell of too long a wait."""
    hooks = client.event_hooks
    client.timeout = silence()
    client.event_hooks = {**hooks, "response": [*hooks["response"], _refuse_long_waits]}
    return client


def _refuse_long_waits(response: Any) -> None:
    """Raise at once what the client library would raise after a very long sleep."""
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    if response.status_code >= 400 and (_retry_after(response) or 0) > LONGEST_WAIT_S:
        response.read()
        hf_raise_for_status(response)


@cache
def _limit_all_clients() -> None:
    """Have the client library make limited clients: it makes a new one after some errors."""
    from huggingface_hub import set_client_factory

    with suppress(ImportError):
        from huggingface_hub.utils._http import default_client_factory

        set_client_factory(lambda: _limit(default_client_factory()))
