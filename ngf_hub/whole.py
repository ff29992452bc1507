"""Folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ngf_hub.errors import NgfHubError


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
