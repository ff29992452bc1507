"""Several triggers at once, from the folders that a scan writes."""

from __future__ import annotations

import re
from pathlib import Path

from ngf_hub.errors import TriggerError
from ngf_hub.triggers.base import CONFIG_FILE, Trigger, load_folder

_HINT = "Give a trigger folder, or what `ngf-hub scan --output DIR` wrote."


def load_triggers(folder: Path) -> list[Trigger]:
    """The triggers that lie in a folder, in the order of their names.

    Args:
        folder: A trigger folder; a folder of such folders; or the output folder
            of a scan, of whose triggers those are taken that lead to the class
            it suspects (all where it suspects none).

    Raises:
        TriggerError: There is none, or one is broken.
        ReportError: The scan's report is broken.
    """
    from ngf_hub.scan_report import SCAN_FILE, ScanReport

    if not folder.is_dir():
        raise TriggerError(f"There is no folder {folder}.", _HINT)
    if (folder / CONFIG_FILE).is_file():
        return [load_folder(folder)]
    scanned = (folder / SCAN_FILE).is_file()
    target = ScanReport.read(folder).target if scanned else None
    place = folder / "triggers" if scanned else folder
    names = [path.parent for path in place.glob(f"*/{CONFIG_FILE}")]
    triggers = [load_folder(path) for path in sorted(names, key=_by_number)]
    chosen = [trigger for trigger in triggers if target in (None, trigger.target)]
    if not chosen:
        if scanned:
            raise TriggerError(f"The scan in {folder} recovered no trigger.", _HINT)
        several = (folder / "models").is_dir()
        raise TriggerError(
            f"{folder} holds no trigger folder.",
            "It is of several models: give models/NAME in it." if several else _HINT,
        )
    return chosen


def _by_number(path: Path) -> list[str | int]:
    """Sorts ``10-patch`` behind ``2-patch``: texts and numbers alternate."""
    parts = re.split(r"([0-9]+)", path.name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
