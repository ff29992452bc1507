"""Errors of libraries become one line each, and nothing of theirs is printed."""

from __future__ import annotations

import errno

import datasets
import pyarrow as pa
import pytest
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DatasetGenerationError

from ngf_hub.data.reading import reading
from ngf_hub.errors import DataError, HubError


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (EmptyDatasetError("x"), DataError, "There are no images that can be read in acme/many."),
        (
            caused(DatasetGenerationError("x"), pa.ArrowInvalid("magic bytes\nnot found.")),
            DataError,
            "A data file of acme/many is corrupt: magic bytes not found.",
        ),
        (
            caused(DatasetGenerationError("x"), OSError(errno.ENOSPC, "No space left")),
            HubError,
            "Cannot read dataset acme/many: the disk is full.",
        ),
        (OSError("Not enough disk space. Needed: 9 GB"), DataError, "There is no room to prepare"),
        (
            RuntimeError("Dataset scripts are no longer supported, but found many.py"),
            DataError,
            "needs a Python script of its own, which is never run",
        ),
        (
            ValueError('Instruction "test" corresponds to no data!'),
            DataError,
            "'test' of acme/many",
        ),
        (ConnectionError("x"), HubError, "the Hub cannot be reached"),
        (KeyError("hf_aaaaaaaaaaaaaaaaaaaaaaaa"), DataError, "cannot be read: '<token>'"),
        (ValueError("s3cret-token\x1b[31m"), DataError, "cannot be read: <token>."),
    ],
)
def test_one_line(error, kind, said):
    with pytest.raises(kind) as caught, reading("acme/many", token="s3cret-token"):
        raise error
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [DataError("mine"), MemoryError(), KeyboardInterrupt()])
def test_passed_through(error):
    with pytest.raises(type(error)) as caught, reading("acme/many"):
        raise error
    assert caught.value is error


def test_bars_and_logs_are_off_inside_and_restored(capfd):
    before = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    with reading("acme/many"):
        assert datasets.are_progress_bars_disabled()
        datasets.logging.get_logger("datasets.x").error("noise")
    assert (datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()) == before
    with pytest.raises(DataError), reading("acme/many"):
        raise ValueError("x")
    assert (datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()) == before
    assert "noise" not in "".join(capfd.readouterr())
