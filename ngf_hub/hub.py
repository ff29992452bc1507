"""The Hub's errors as one line each that says what to do, and the cache where it is not reached.

Everything that talks to the Hub, or to a dataset on it, does so inside
:func:`hub_errors`; the many exceptions of the client libraries end there.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ngf_hub.errors import HubError, NgfHubError
from ngf_hub.patience import (
    GarbledAnswerError,
    asked_wait,
    client_was_closed,
    no_endless_waits,
)
from ngf_hub.text import plain, redact

LOGIN = "Log in with `hf auth login`, or set HF_TOKEN to a token that has access."
NETWORK = "Check the network, HF_ENDPOINT and proxy settings, then run the same command again."
OFFLINE = "Unset HF_HUB_OFFLINE to download, or fetch it once with the network on."
RETRY = "Run the same command again; what is done is kept."
DISK = "Free some space, or point HF_HOME or --output at another disk."
_HUB_ID = re.compile(r"(?=.{1,96}\Z)(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)


def is_hub_id(text: str) -> bool:
    """Whether the text has the form of a Hub id: ``name`` or ``namespace/name``.

    >>> is_hub_id("timm/resnet18.a1_in1k"), is_hub_id("../models"), is_hub_id("a/b/c")
    (True, False, False)
    """
    if "--" in text or ".." in text or text.endswith((".git", "-", ".")):
        return False
    return _HUB_ID.fullmatch(text) is not None


@contextmanager
def hub_errors(action: str, *, token: str | None = None) -> Iterator[None]:
    """Turn the errors of Hub clients inside the block into one-line :class:`HubError`.

    Errors of this package, and those that have nothing to do with the Hub,
    network or disk, pass through unchanged.

    Args:
        action: What is tried, to follow "Cannot": ``"fetch model org/name"``.
        token: The token in use where it was given as an argument; no message
            shows it, nor the one in the environment.

    Raises:
        HubError: Anything a Hub client, the network or the disk raised.
    """
    try:
        with no_endless_waits():
            yield
    except NgfHubError:
        raise
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        reason, hint = told
        action = plain(redact(action, [token]))
        reason = redact(reason, [token])
        raise HubError(f"Cannot {action}: {reason}.", hint) from error


def not_reached(error: BaseException) -> bool:
    """Whether the Hub gave no answer, or a fault of its own, so that the cache may serve."""
    from huggingface_hub.errors import HfHubHTTPError

    answered = isinstance(error, HfHubHTTPError) and error.response.status_code < 500
    return not answered and explain(error) is not None


def cached_folder(repo: str, revision: str | None) -> Path | None:
    """Where the cache keeps a model at a revision; ``None`` where it has no config of it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        config = hf_hub_download(repo, "config.json", revision=revision, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return Path(config).parent


def explain(error: BaseException) -> tuple[str, str] | None:
    """What went wrong and what to do, or ``None`` for an error of another kind.

    The reason is one line without a full stop.
    """
    from huggingface_hub import errors as hub

    if isinstance(error, hub.OfflineModeIsEnabled) or "OfflineMode" in type(error).__name__:
        return "offline mode is on and it is not in the cache", OFFLINE
    if isinstance(error, hub.HFValidationError):
        return "the id is not a valid one", "Give it as `name` or `namespace/name`."
    if isinstance(error, hub.LocalEntryNotFoundError):
        cause = error.__cause__ or error.__context__
        told = explain(cause) if cause is not None else None
        return told or ("it is not in the cache and the Hub was not asked", OFFLINE)
    if isinstance(error, hub.HfHubHTTPError):
        return _explain_http(error)
    if isinstance(error, hub.EntryNotFoundError):
        return "a file of it does not exist", "Check the name of the file."
    if isinstance(error, GarbledAnswerError):
        return "the server's answer cannot be read", RETRY
    if isinstance(error, hub.FileMetadataError):
        return "the server's answer lacks what a Hub sends", NETWORK
    if isinstance(error, hub.LocalTokenNotFoundError):
        return "it needs a token and there is none", LOGIN
    if client_was_closed(error):
        return "the Hub cannot be reached", NETWORK
    if is_of_http_client(error):
        return _explain_transport(error)
    if type(error).__module__.split(".")[0] == "hf_xet":
        reason = plain(redact(str(error)))
        return f"the Hub's Xet storage failed ({reason})", f"Set HF_HUB_DISABLE_XET=1. {RETRY}"
    # transformers, datasets and timm raise their own from one of the above.
    told = explain(error.__cause__) if error.__cause__ is not None else None
    if told is None and isinstance(error, OSError):
        return _explain_os(error)
    if told is None and isinstance(error, RuntimeError) and "while uploading" in str(error):
        # One thread lost the server and closed the client that the others were using.
        return "an upload broke off", RETRY
    return told


def _explain_http(error: BaseException) -> tuple[str, str]:
    """An answer of the server with a status of 400 or more."""
    from huggingface_hub import errors as hub

    assert isinstance(error, hub.HfHubHTTPError)
    status = error.response.status_code
    said = plain(redact(error.server_message or ""))
    said = f" ({said})" if said else ""
    if isinstance(error, hub.GatedRepoError):
        return "access to it is gated", f"Ask for access on its page on the Hub. {LOGIN}"
    if isinstance(error, hub.DisabledRepoError):
        return "it was disabled on the Hub", "Use another repository."
    if isinstance(error, hub.RevisionNotFoundError):
        return "it has no such revision", "Check the branch, tag or commit."
    if isinstance(error, hub.EntryNotFoundError):
        return "it has no such file", "Check the name of the file."
    if status == 401 and "token" in said.lower():
        return f"the Hub refused the token{said}", LOGIN
    if isinstance(error, hub.RepositoryNotFoundError):
        return "there is no such repository, or it is private", f"Check the name. {LOGIN}"
    if status == 401:
        return f"the Hub refused the token, or there is none{said}", LOGIN
    if status == 403:
        return f"the token may not do this{said}", "Use a token with write access to it."
    if status in (409, 412):
        return f"somebody else changed it at the same time{said}", RETRY
    if status == 413:
        return f"it is too large for the Hub{said}", "Make it smaller."
    if status == 429:
        seconds = asked_wait(error)
        wait = "some minutes" if seconds is None else f"{seconds:.0f} seconds"
        return f"the Hub asks to slow down{said}", f"Wait {wait}, then run it again."
    if status == 507:
        return f"the storage quota on the Hub is used up{said}", "Free some of it."
    if status >= 500:
        return f"the Hub has a fault of its own, status {status}{said}", RETRY
    return f"the Hub answered with status {status}{said}", "Check what was asked for."


def is_of_http_client(error: BaseException) -> bool:
    """Whether it is an exception of another HTTP library that datasets or fsspec use."""
    modules = {cls.__module__.split(".")[0] for cls in type(error).__mro__}
    return bool(modules & {"requests", "urllib3", "aiohttp", "httpx", "httpcore", "httpx2"})


def _explain_transport(error: BaseException) -> tuple[str, str]:
    """No whole answer: no connection, a time-out, or one that broke off."""
    name = type(error).__name__
    if "Timeout" in name:
        return "the Hub did not answer in time", NETWORK
    if "Proxy" in name:
        return "the proxy refused the connection", NETWORK
    if "certificate" in str(error).lower():
        return "the server's certificate was not accepted", NETWORK
    if any(word in name for word in ("Protocol", "Read", "Write", "Payload", "Chunked", "Decod")):
        return "the connection broke off", RETRY
    return "the Hub cannot be reached", NETWORK


def _explain_os(error: OSError) -> tuple[str, str] | None:
    """The disk, a bare socket, or the client's own check of a download's length."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full", DISK
    if error.errno == errno.EFBIG:
        return "a file would be larger than this system allows", "Raise the limit (`ulimit -f`)."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        where = plain(error.filename) if error.filename else "a folder"
        return f"access to {where} is denied", "Mend its permissions, or give another folder."
    if isinstance(error, TimeoutError):
        return "the Hub did not answer in time", NETWORK
    if isinstance(error, ConnectionError | socket.gaierror):
        return "the Hub cannot be reached", NETWORK
    if "consistency check failed" in str(error).lower():
        return "the download was cut short or is corrupt", RETRY
    return None
