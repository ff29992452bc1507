"""Folders that appear whole or not at all, and places where they may."""

from __future__ import annotations

import errno
import glob
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ngf_hub.errors import NgfHubError
from ngf_hub.paths import existing
from ngf_hub.text import plain

ANOTHER = "Give another --output."
RETRY = "Mend that, or give another --output, and run it again."
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", platform.node())[:60]


def check_place(folder: Path, sources: Iterable[str] = ()) -> Path:
    """Refuse a place that no folder can replace, whatever it holds; see also :func:`put_right`.

    Args:
        folder: The place.
        sources: The models that are read; none of them is replaced.

    Returns:
        The place, with links followed.

    Raises:
        NgfHubError: It is such a place.
    """
    shown, folder = folder, folder.resolve()
    put_right(folder)
    if folder.exists() and not folder.is_dir():
        raise NgfHubError(f"{shown} is a file.", ANOTHER)
    if folder == Path.cwd() or folder in Path.cwd().parents or os.path.ismount(folder):
        raise NgfHubError(f"{shown} cannot be replaced as a whole.", "Give a folder inside it.")
    models = [path.resolve() for source in sources if (path := existing(source)) is not None]
    if folder in models:
        raise NgfHubError(f"{shown} is the model that is read.", ANOTHER)
    return folder


def check_own(shown: Path, folder: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse a folder that holds what this tool does not write.

    Args:
        shown: The folder as the user named it.
        folder: The folder.
        is_ours: Whether an entry of it is of a kind that this tool writes.

    Raises:
        NgfHubError: It is such a folder.
    """
    foreign = sorted(entry.name for entry in folder.iterdir() if not is_ours(entry))
    if foreign:
        raise NgfHubError(
            f"{shown} holds {foreign[0]!r}, which ngf-hub did not write.",
            "Move it away, or give another --output.",
        )


def check_writable(parent: Path) -> None:
    """Refuse a folder that nothing can be written into, or made in where it is not there.

    Raises:
        NgfHubError: It is such a folder.
    """
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        raise NgfHubError(f"{parent} cannot be written.", ANOTHER)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to write into, which takes its place at the end.

    What lay there is replaced; if anything fails it stays as it was. What a process that
    was killed left half-done is put right first.

    Raises:
        NgfHubError: The disk is full, or the place cannot be written.
    """
    put_right(folder)
    part = folder.with_name(f".{folder.name}.part-{_HOST}-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{_HOST}-{os.getpid()}")
    new_parents = [parent for parent in folder.parents if not parent.exists()]
    try:
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except OSError as error:
        reason = _reason(error)
        if reason == os.strerror(errno.ENOSPC):
            raise NgfHubError(
                f"The disk is full: {folder} was not written.", "Free space and run it again."
            ) from error
        raise NgfHubError(f"{folder} could not be written: {reason}.", RETRY) from error
    finally:
        if old.exists() and not folder.exists():
            # Another process may have put its own there since; it is the newer one.
            with suppress(OSError):
                old.rename(folder)
        shutil.rmtree(part, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        for parent in new_parents:  # the deepest first; what holds a result stays
            with suppress(OSError):
                parent.rmdir()


def write_whole(path: Path, text: str, hint: str) -> None:
    """Write a text file beside its place and rename it, so that it is never half there.

    Args:
        path: The file.
        text: What it will hold.
        hint: What to do where it cannot be written.

    Raises:
        NgfHubError: It cannot be written; what lay there stays.
    """
    beside = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else _reason(error)
        raise NgfHubError(f"{path} could not be written: {reason}.", hint) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    """What the system says; the copy of a folder lists what it says of each file."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        told = str(error.args[0][0][-1])
        full = os.strerror(errno.ENOSPC)
        return full if full in told else plain(told)
    return plain(error.strerror or error)


def put_right(folder: Path) -> None:
    """Undo what a process that was killed while it wrote a folder left beside it.

    Its parts are removed; a folder that it had moved away and not replaced comes back.
    Only what a process of this machine left that runs no more is touched.
    """
    for left in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.*-*-*")):
        kind, host, process = left.name.removeprefix(f".{folder.name}.").rsplit("-", 2)
        if kind not in ("part", "old") or host != _HOST:
            continue
        # Another one had our own number before.
        if process != str(os.getpid()) and runs(process):
            continue
        with suppress(OSError):
            if kind == "old" and not folder.exists():
                left.rename(folder)
            else:
                shutil.rmtree(left, ignore_errors=True)


def runs(process: str) -> bool:
    """Whether a process of this machine runs, or may; what is no number may."""
    if not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
