"""The output folder of a scan: report, recovered triggers and their pictures, page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.errors import NgfHubError, ReportError
from ngf_hub.scan_report import SCAN_FILE, ScanReport
from ngf_hub.whole import check_own, check_place, check_writable, written_whole

if TYPE_CHECKING:
    from ngf_hub.scanning import Scanned

LIST_FILE, PAGE_FILE, SARIF_FILE = "scans.json", "scan.html", "scan.sarif"
TRIGGERS, BEST, MODELS = "triggers", "trigger", "models"
_OURS = {SCAN_FILE, LIST_FILE, PAGE_FILE, SARIF_FILE, TRIGGERS, BEST, MODELS}


@dataclass(frozen=True)
class Result:
    """A report with the folder that its triggers and pictures lie in.

    Attributes:
        report: The report.
        folder: What :func:`fill` wrote; ``None`` where the scan failed.
        stored: It is of an earlier run.
    """

    report: ScanReport
    folder: Path | None = None
    stored: bool = False


def write_scan(folder: Path, scanned: Scanned) -> Path:
    """Write ``scan.json``, ``scan.html``, the recovered triggers and their pictures.

    ``triggers/`` holds all of them, best first, each a folder that
    :func:`ngf_hub.triggers.load_folder` reads, with pictures. ``trigger/`` is the
    best one, unless nothing was found: then it is none.

    Args:
        folder: The place; its content is replaced if a scan wrote it.
        scanned: The scan.

    Returns:
        The folder.

    Raises:
        NgfHubError: The place is taken, or cannot be written; nothing is left behind.
    """
    place = check_scan_output(folder)
    with written_whole(place) as part:
        report = fill(part, scanned)
        _write_page(part, [Result(report, part)])
    return folder


def fill(folder: Path, scanned: Scanned) -> ScanReport:
    """Write all but the page into an empty folder; the report then says where each trigger is."""
    from ngf_hub.scans.pictures import MOST_SAMPLES, draw_trigger

    report = scanned.report.model_copy(deep=True)
    for number, (found, listed, samples) in enumerate(
        zip(scanned.triggers, report.triggers, scanned.samples, strict=True), 1
    ):
        leads_to = "all" if listed.target is None else listed.target
        listed.folder = f"{TRIGGERS}/{number}-{listed.family}-to-{leads_to}"
        place = folder / listed.folder
        found.trigger.save(place)
        if scanned.shape is not None:
            shown = samples if number <= MOST_SAMPLES else None
            draw_trigger(found.trigger, scanned.shape, shown, place)
    if scanned.triggers and report.verdict in ("backdoored", "inconclusive"):
        scanned.triggers[0].trigger.save(folder / BEST)
    report.write(folder)
    return report


def write_results(folder: Path, results: Sequence[Result], *, many: bool) -> Path:
    """Write results that lie in folders of their own, as :func:`write_scan` writes one.

    Args:
        folder: The place; its content is replaced if a scan wrote it.
        results: The results.
        many: Put each into a folder below ``models/``, and a list of them beside it.

    Raises:
        NgfHubError: The place is taken, or cannot be written; nothing is left behind.
    """
    from ngf_hub.scans.formats import render

    place = check_scan_output(folder)
    with written_whole(place) as part:
        names = _folder_names(result.report.name for result in results)
        for result, name in zip(results, names, strict=True):
            if result.folder is None:
                continue
            inside = part / MODELS / name if many else part
            shutil.copytree(result.folder, inside, dirs_exist_ok=True, ignore=_not_ours)
            result.report.write(inside)
        if many:
            (part / LIST_FILE).write_text(render("json", results), encoding="utf-8")
        _write_page(part, results)
    return folder


def _not_ours(_: str, names: list[str]) -> list[str]:
    """What the store keeps beside a result."""
    return [name for name in names if name == "key.json"]


def _write_page(folder: Path, results: Sequence[Result]) -> None:
    from ngf_hub.scans.formats import render

    (folder / PAGE_FILE).write_text(render("html", results), encoding="utf-8")


def check_scan_output(folder: Path, *, sources: Iterable[str] = ()) -> Path:
    """Refuse a place that cannot be written or holds what no scan wrote.

    Args:
        folder: The place.
        sources: The models that are read; none of them is replaced.

    Returns:
        The place, with links followed.

    Raises:
        NgfHubError: It is such a place.
    """
    shown, folder = folder, check_place(folder, sources)
    if folder.is_dir() and any(folder.iterdir()):
        if not _is_scan(folder):
            raise NgfHubError(
                f"{shown} is not empty and holds no result of `ngf-hub scan`.",
                "Give another --output; nothing of others is overwritten.",
            )
        check_own(shown, folder, lambda entry: entry.name in _OURS and not entry.is_symlink())
    check_writable(folder.parent)
    return folder


def _is_scan(folder: Path) -> bool:
    try:
        ScanReport.read(folder)
    except ReportError:
        pass
    else:
        return True
    try:
        content = json.loads((folder / LIST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("tool") == "ngf-hub"


def _folder_names(names: Iterable[str]) -> list[str]:
    """A folder name for each model, no two the same in any case."""
    taken: set[str] = set()
    result = []
    for name in names:
        base = folder_name(name)
        unique, number = base, 1
        while unique.lower() in taken:
            number += 1
            unique = f"{base}-{number}"
        taken.add(unique.lower())
        result.append(unique)
    return result


def folder_name(name: str) -> str:
    """A name for a folder that tells which model it is of.

    >>> folder_name("org/model"), folder_name("../my models/net/"), folder_name("..")
    ('org--model', 'my-models--net', 'model')
    """
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-.") for part in name.split("/")]
    return "--".join([part for part in parts if part][-2:])[:100] or "model"
