"""The steps of a scan, each of which fills in its part of the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.data import as_pixels
from ngf_hub.errors import DataError, ModelError, NgfHubError, UnsafeFileError
from ngf_hub.evidence.collecting import FILES, collect, estimate
from ngf_hub.evidence.weights_fit import from_loading
from ngf_hub.layout import channels_last
from ngf_hub.provenance import cost, model_info
from ngf_hub.report import DataInfo, SplitInfo
from ngf_hub.scan_report import Finding, RecoveredTrigger, ScanReport
from ngf_hub.scans.samples import Samples, triggered_samples
from ngf_hub.text import plain
from ngf_hub.unchanged import unchanged

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ngf_hub.adapters import Classifier
    from ngf_hub.data import PixelSet
    from ngf_hub.evidence.base import Case, Evidence, Recovered
    from ngf_hub.evidence.calibration import Calibration
    from ngf_hub.evidence.repository import FilesChecked
    from ngf_hub.progress import Track

Tell = Callable[[str], None]
# The note of a check that saw only those files of a repository that were fetched before.
_FROM_CACHE = "the Hub was not asked"


@dataclass
class Scanned:
    """A scan's report with what lies in memory beside it.

    Attributes:
        report: Every figure.
        triggers: The recovered triggers, in the order of ``report.triggers``.
        samples: For each of them a few images with and without it, or ``None``
            where there are none.
        shape: Channels, height and width of the model's input, if it was loaded.
        complete: Every kind of evidence came to an end, so that to scan again
            would tell nothing new.
    """

    report: ScanReport
    triggers: list[Recovered] = field(default_factory=list)
    samples: list[Samples | None] = field(default_factory=list, repr=False)
    shape: tuple[int, int, int] | None = None
    complete: bool = True

    def save(self, folder: str | Path) -> Path:
        """Write ``scan.json``, the recovered triggers and their pictures into ``folder``.

        The folder appears whole or not at all. See :func:`ngf_hub.scans.output.write_scan`.
        """
        from ngf_hub.scans.output import write_scan

        return write_scan(Path(folder), self)


def check_files(
    report: ScanReport, source: str, revision: str | None, token: str | None, track: Track
) -> FilesChecked:
    """Look into the files before any is loaded.

    Raises:
        HubError: They cannot be fetched.
    """
    from ngf_hub.evidence.repository import inspect_files

    start = time.perf_counter()
    checked = inspect_files(source, revision=revision, token=token, track=track)
    seconds = time.perf_counter() - start
    report.commit = checked.commit
    report.warnings += [f"Of the files: {note}." for note in checked.notes]
    report.findings.append(checked.finding.model_copy(update={"seconds": seconds}))
    return checked


def are_dangerous(report: ScanReport, error: NgfHubError | None = None) -> bool:
    """Whether the files are flagged, be it by the loader, which the report then says."""
    if isinstance(error, UnsafeFileError):
        report.findings.append(Finding(kind=FILES, status="flagged", summary=error.message))
    return any(found.kind == FILES and found.status == "flagged" for found in report.findings)


def _of_files(report: ScanReport) -> Finding | None:
    return next((finding for finding in report.findings if finding.kind == FILES), None)


def not_loaded(
    report: ScanReport, chosen: Mapping[str, Evidence], accelerator: Accelerator, why: str
) -> Scanned:
    """The result where there is no model to look at."""
    if are_dangerous(report):
        report.verdict, report.summary = "unsafe files", "The model was not loaded."
    else:
        report.verdict = "inconclusive"
        report.summary = (
            "Nothing dangerous was found in the files, but the weights cannot be loaded safely: "
            f"{plain(why, 250).rstrip('.')}."
        )
    report.data = None  # no image was looked at
    report.findings += [
        Finding(kind=name, summary=f"The model was not loaded: {plain(why, 250)}")
        for name in chosen
    ]
    report.cost = cost(accelerator, _seconds(report))
    return Scanned(report, complete=_saw_all(report))


def pixels_of(
    report: ScanReport, images: Any, classifier: Classifier, track: Track
) -> PixelSet | None:
    """The images in the model's own preprocessing.

    Raises:
        DataError: They do not fit, or there are none.
    """
    if images is None:
        return None
    pixels = as_pixels(images, preprocessing=classifier.preprocessing, track=track)
    if len(pixels) == 0:
        raise DataError("There are no images to scan with.", "Give some, or leave them out.")
    if report.data is None:
        given = SplitInfo(split="given", n=len(pixels), use="scan")
        report.data = DataInfo(name="given in memory", splits=[given])
    return pixels


def describe(report: ScanReport, classifier: Classifier) -> None:
    """What is said of the model before it is looked at, and what loading told of its files."""
    report.model = model_info(classifier)
    report.commit = report.commit or classifier.source.commit
    if (told := from_loading(classifier.source)) and (finding := _of_files(report)) is not None:
        finding.details.setdefault("files", []).extend(asdict(found) for found in told)
        finding.summary = plain(f"{finding.summary}; {told[0].reason}", 300)
    try:
        _ = classifier.head
    except ModelError as error:
        report.warnings.append(f"No final layer of the known form was found: {error.message}")


def look(
    report: ScanReport,
    case: Case,
    chosen: Mapping[str, Evidence],
    calibration: Calibration | None,
    tell: Tell | None,
) -> Scanned:
    """Collect the evidence, judge it and fill in the report."""
    from ngf_hub.evidence.verdict import judge

    files = _seconds(report)
    layout = channels_last(case.classifier, case.accelerator)
    with layout, unchanged(case.classifier) as state:
        if tell is not None and (line := estimate(chosen, case, state)):
            tell(line)
        collected = collect(chosen, case, state)
        report.findings += collected.findings
        report.warnings += collected.warnings
        judgement = judge(
            report.findings,
            calibration,
            with_images=case.images is not None,
            classes=case.classifier.num_classes,
        )
        report.findings = judgement.findings
        report.warnings += judgement.warnings
        report.verdict = judgement.verdict
        if report.verdict != "backdoored" and are_dangerous(report):
            report.verdict = "unsafe files"
        report.summary = judgement.summary
        report.target = judgement.target
        report.p_value, report.confidence = judgement.p_value, judgement.confidence
        names = case.classifier.class_names
        report.target_name = _class_name(names, report.target)
        triggers = collected.best_first(report.findings, report.target)
        samples = [triggered_samples(case, found.trigger) for found in triggers]
    for found in triggers:
        target = found.trigger.target
        report.triggers.append(
            RecoveredTrigger(
                family=found.trigger.family,
                target=target,
                target_name=_class_name(names, target),
                size=found.size,
                success=found.success,
            )
        )
    report.cost = cost(case.accelerator, {**files, **collected.seconds})
    preprocessing = case.classifier.preprocessing
    shape = (preprocessing.channels, *preprocessing.size)
    return Scanned(report, triggers, samples, shape, collected.complete and _saw_all(report))


def _saw_all(report: ScanReport) -> bool:
    """Whether all files of the repository were there to be looked at."""
    from ngf_hub.evidence.repository import NOT_FETCHED

    return not any(_FROM_CACHE in line or NOT_FETCHED in line for line in report.warnings)


def _class_name(names: Sequence[str] | None, target: int | None) -> str | None:
    return names[target] if names is not None and target is not None else None


def _seconds(report: ScanReport) -> dict[str, float]:
    return {finding.kind: finding.seconds for finding in report.findings if finding.seconds}
