"""Folders that appear whole or not at all, and places where they may."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ngf_hub.errors import NgfHubError
from ngf_hub.paths import existing

ANOTHER = "Give another --output."


def check_place(folder: Path, sources: Iterable[str] = ()) -> Path:
    """Refuse a place that no folder can replace, whatever it holds.

    Args:
        folder: The place.
        sources: The models that are read; none of them is replaced.

    Returns:
        The place, with links followed.

    Raises:
        NgfHubError: It is such a place.
    """
    shown, folder = folder, folder.resolve()
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

    What lay there is replaced; if anything fails it stays as it was.

    Raises:
        NgfHubError: The disk is full, or the place cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    new_parents = [parent for parent in folder.parents if not parent.exists()]
    try:
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NgfHubError(
                f"The disk is full: {folder} was not written.", "Free space and run it again."
            ) from error
        raise NgfHubError(f"{folder} could not be written: {error.strerror or error}.") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        for parent in new_parents:  # the deepest first; what holds a result stays
            with suppress(OSError):
                parent.rmdir()
