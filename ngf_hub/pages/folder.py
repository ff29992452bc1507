"""The page of an output folder, whichever command wrote it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from ngf_hub.errors import NgfHubError, ReportError
from ngf_hub.pages.layout import is_page
from ngf_hub.pages.report_page import report_page
from ngf_hub.pages.scan_page import scan_page
from ngf_hub.report import REPORT_FILE, Report
from ngf_hub.scan_report import SCAN_FILE, ScanReport
from ngf_hub.scans.output import LIST_FILE, MODELS
from ngf_hub.whole import write_whole

_HINT = "Give what `purify`, `attack`, `evaluate` or `scan` wrote with --output."


def folder_page(folder: Path) -> str:
    """The page of what a folder holds: a report, a scan, or the scans of a fleet.

    Raises:
        ReportError: It holds none of these, or one that is broken.
    """
    if (folder / REPORT_FILE).is_file():
        return report_page(Report.read(folder), folder)
    if (folder / SCAN_FILE).is_file():
        return scan_page([(ScanReport.read(folder), folder)])
    if (folder / LIST_FILE).is_file():
        return scan_page(_fleet(folder))
    missing = "There is no folder" if not folder.is_dir() else "There is no report in"
    raise ReportError(f"{missing} {folder}.", _HINT)


def _fleet(folder: Path) -> list[tuple[ScanReport, Path | None]]:
    """The scans of a list, each with its folder below ``models/`` where it has one."""
    path = folder / LIST_FILE
    try:
        scans = json.loads(path.read_text(encoding="utf-8"))["scans"]
        reports = [ScanReport.model_validate(entry) for entry in scans]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ReportError(f"{path} is no list of scans: {first}", _HINT) from error
    places: dict[tuple[str, str | None], Path] = {}
    for place in sorted((folder / MODELS).glob(f"*/{SCAN_FILE}")):
        try:
            own = ScanReport.read(place.parent)
        except ReportError:
            continue  # the list has its figures; only its pictures are missing
        places.setdefault((own.name, own.commit), place.parent)
    return [(report, places.get((report.name, report.commit))) for report in reports]


def write_page(folder: Path, path: Path) -> Path:
    """Write the page of a folder, beside its place and then renamed.

    Raises:
        ReportError: See :func:`folder_page`.
        NgfHubError: The place cannot be written, or holds what is no page of this tool.
    """
    if path.exists() and not _is_own(path):
        raise NgfHubError(
            f"{path} is there and is no page of ngf-hub.",
            "Give another --html; nothing of others is overwritten.",
        )
    write_whole(path, folder_page(folder), "Give another --html.")
    return path


def _is_own(path: Path) -> bool:
    try:
        return is_page(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
