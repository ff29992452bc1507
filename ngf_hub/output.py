"""The output folder: it appears whole or not at all, and replaces only what this tool wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.errors import NgfHubError, ReportError
from ngf_hub.report import REPORT_FILE, Report
from ngf_hub.whole import ANOTHER, check_own, check_place, check_writable, written_whole

if TYPE_CHECKING:
    from ngf_hub.adapters import Classifier
    from ngf_hub.data import PixelSet
    from ngf_hub.triggers import Trigger

SAMPLES_SHOWN = 6
RECOVERED = "recovered"


def check_output(folder: Path, kind: str = "purify", *, source: str | None = None) -> Path:
    """Refuse a place that cannot be written or holds what a run of this kind did not write.

    Args:
        folder: The place.
        kind: The kind of report to be written; one of another kind is not replaced.
        source: The model that is read, which is never replaced either.

    Returns:
        The place, with links followed.

    Raises:
        NgfHubError: It is such a place.
    """
    shown, folder = folder, check_place(folder, [source] if source is not None else [])
    if folder.is_dir() and any(folder.iterdir()):
        try:
            written = Report.read(folder)
        except ReportError as error:
            raise NgfHubError(
                f"{shown} is not empty and holds no {REPORT_FILE} of ngf-hub.",
                "Give another --output; nothing of others is overwritten.",
            ) from error
        if written.kind != kind:
            raise NgfHubError(f"{shown} holds the result of `{written.kind}`.", ANOTHER)
        check_own(shown, folder, _is_ours)
    check_writable(folder.parent)
    return folder


def _is_ours(entry: Path) -> bool:
    """Whether an entry of an output folder is of a kind that a run writes."""
    if entry.is_symlink():
        return False
    if entry.is_dir():
        return entry.name in ("trigger", RECOVERED)
    return entry.suffix in (".json", ".png", ".html", ".safetensors") or entry.name == "README.md"


@contextmanager
def whole_folder(folder: Path, kind: str = "purify") -> Iterator[Path]:
    """A folder beside ``folder`` to write into, which takes its place at the end.

    Raises:
        NgfHubError: The disk is full, or the place cannot be written.
    """
    with written_whole(check_output(folder, kind)) as part:
        yield part


def write_output(
    folder: Path,
    classifier: Classifier,
    report: Report,
    *,
    trigger: Trigger | None = None,
    recovered: Mapping[str, Sequence[Trigger]] | None = None,
    samples: PixelSet | None = None,
) -> Path:
    """Write weights, config, preprocessor, report, card, plots and triggers.

    Args:
        folder: The place; its content is replaced if this tool wrote it.
        trigger: What ASR was measured with.
        recovered: Triggers that the method recovered itself, by what it did with them;
            the first is shown.
        samples: Judging images; those that the trigger applies to are shown.

    Returns:
        The folder.

    Raises:
        NgfHubError: The place is taken, or cannot be written; nothing is left behind.
    """
    from ngf_hub.card import write_card
    from ngf_hub.plots import plot_before_after

    with whole_folder(folder, report.kind) as part:
        classifier.save(part)
        if report.backdoored:
            mark_backdoored(part, report)
        report.write(part)
        if trigger is not None:
            trigger.save(part / "trigger")
            if samples is not None and len(samples):
                _plot_samples(part / "trigger.png", classifier, trigger, samples)
        _write_recovered(part, recovered or {}, classifier, samples)
        plot_before_after(report, part / "before_after.png")
        write_card(part)
    return folder


def _write_recovered(
    part: Path,
    recovered: Mapping[str, Sequence[Trigger]],
    classifier: Classifier,
    samples: PixelSet | None,
) -> None:
    """Folders that ``--trigger`` and ``--forget`` take, and a picture of the first trigger."""
    for use, triggers in recovered.items():
        for number, trigger in enumerate(triggers, 1):
            trigger.save(part / RECOVERED / use / f"{number}-{trigger.family}")
    first = next((trigger for triggers in recovered.values() for trigger in triggers), None)
    if first is not None and samples is not None and len(samples):
        _plot_samples(part / f"{RECOVERED}.png", classifier, first, samples)


def mark_backdoored(folder: Path, report: Report) -> None:
    """Say in ``config.json``, which travels with the weights, that the model is backdoored."""
    import json

    path = folder / "config.json"
    if not path.is_file():  # plain PyTorch: there is no config format
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    config["backdoored"] = True
    if report.attack is not None:
        config["backdoor_attack"] = report.attack.name
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
