"""Errors of the libraries that read datasets, as one line each that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ngf_hub.errors import DataError, NgfHubError
from ngf_hub.hub import DISK, hub_errors
from ngf_hub.text import plain, redact


@contextmanager
def reading(dataset: str, *, token: str | None = None) -> Iterator[None]:
    """Turn every error of reading a dataset inside the block into a one-line one.

    The progress bars and log lines of ``datasets`` are off inside.

    Args:
        dataset: Its name or path, for messages.
        token: A token that no message may show.

    Raises:
        HubError: The Hub, the network or the disk failed.
        DataError: Anything else that kept the dataset from being read.
    """
    name = plain(dataset, 100)
    try:
        with _quiet(), hub_errors(f"read dataset {name}", token=token):
            yield
    except (NgfHubError, MemoryError):
        raise
    except Exception as error:
        raise _explain(name, error, token) from error


def _explain(name: str, error: Exception, token: str | None) -> DataError:
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError

    root = _root(error)
    text = plain(redact(str(root), [token]), 160).rstrip(".") or type(root).__name__
    if isinstance(error, DataFilesNotFoundError | EmptyDatasetError):
        return DataError(
            f"There are no images that can be read in {name}.",
            "Give a dataset of parquet files or class folders of images.",
        )
    if "scripts are no longer supported" in str(error):
        return DataError(
            f"Dataset {name} needs a Python script of its own, which is never run.",
            "Its parquet copy may exist: add --dataset-revision refs/convert/parquet.",
        )
    if "not enough disk space" in text.lower():
        return DataError(f"There is no room to prepare {name}: {text}.", DISK)
    if empty := re.match(r'Instruction "(.*)" corresponds to no data', str(root)):
        return DataError(f"Split {plain(empty[1], 60)!r} of {name} is empty.", "Choose another.")
    kind = type(root).__module__.split(".")[0]
    if kind == "pyarrow":
        return DataError(f"A data file of {name} is corrupt: {text}.", "Fetch or write it again.")
    return DataError(f"Dataset {name} cannot be read: {text}.", "Check its files and README.")


def _root(error: BaseException) -> BaseException:
    """The first of a chain of causes: ``datasets`` wraps what went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _quiet() -> Iterator[None]:
    import datasets

    bars = datasets.are_progress_bars_disabled()
    verbosity = datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()
