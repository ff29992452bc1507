"""The output folder: it appears whole or not at all, and replaces only what this tool wrote."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.errors import NgfHubError, ReportError
from ngf_hub.report import REPORT_FILE, Report

if TYPE_CHECKING:
    from ngf_hub.adapters import Classifier
    from ngf_hub.data import PixelSet
    from ngf_hub.triggers import Trigger

SAMPLES_SHOWN = 6


def check_output(folder: Path) -> None:
    """Refuse a place that cannot be written or holds what this tool did not write.

    Raises:
        NgfHubError: It is such a place.
    """
    if folder.exists() and not folder.is_dir():
        raise NgfHubError(f"{folder} is a file.", "Give another --output.")
    if folder.is_dir() and any(folder.iterdir()):
        try:
            Report.read(folder)
        except ReportError as error:
            raise NgfHubError(
                f"{folder} is not empty and holds no {REPORT_FILE} of ngf-hub.",
                "Give another --output; nothing of others is overwritten.",
            ) from error
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        raise NgfHubError(f"{parent} cannot be written.", "Give another --output.")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to write into, which takes its place at the end.

    Raises:
        NgfHubError: The disk is full, or the place cannot be written.
    """
    check_output(folder)
    folder = folder.absolute()
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
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


def write_output(
    folder: Path,
    classifier: Classifier,
    report: Report,
    *,
    trigger: Trigger | None = None,
    samples: PixelSet | None = None,
) -> Path:
    """Write weights, config, preprocessor, report, card, plots and trigger.

    Args:
        folder: The place; its content is replaced if this tool wrote it.
        samples: Judging images; those that the trigger applies to are shown.

    Returns:
        The folder.

    Raises:
        NgfHubError: The place is taken, or cannot be written; nothing is left behind.
    """
    from ngf_hub.card import write_card
    from ngf_hub.plots import plot_before_after

    with whole_folder(folder) as part:
        classifier.save(part)
        report.write(part)
        if trigger is not None:
            trigger.save(part / "trigger")
            if samples is not None and len(samples):
                _plot_samples(part / "trigger.png", classifier, trigger, samples)
        plot_before_after(report, part / "before_after.png")
        write_card(part)
    return folder


def _plot_samples(path: Path, classifier: Classifier, trigger: Trigger, samples: PixelSet) -> None:
    """Clean and triggered images with what the purified model says of them."""
    import torch

    from ngf_hub.plots import plot_trigger

    pixels, labels, _ = next(iter(samples.batches(len(samples), classifier.device)))
    shown = (trigger.wanted(labels, classifier.num_classes) != labels).nonzero()[:SAMPLES_SHOWN, 0]
    if len(shown) == 0:
        return
    pixels, labels = pixels[shown], labels[shown]
    triggered = trigger.apply(pixels)
    with torch.inference_mode():
        predictions = classifier(triggered).argmax(1)
    plot_trigger(
        pixels.cpu(),
        triggered.cpu(),
        path,
        labels=labels.tolist(),
        predictions=predictions.tolist(),
        class_names=classifier.class_names,
    )
