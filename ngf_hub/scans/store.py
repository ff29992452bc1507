"""Results that are kept, so that a second scan of a list does only what is new.

A result is kept under all that it depends on: the commit of the model (or the
hashes of its files), the images, the kinds of evidence, the seed and the
version of this tool. It is a folder as :func:`ngf_hub.scans.output.fill` writes
it, which appears whole or not at all, whatever is killed when; several
processes may keep results in one store.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.errors import NgfHubError, ReportError
from ngf_hub.scan_report import ScanReport
from ngf_hub.scans.output import Result, fill, folder_name
from ngf_hub.whole import written_whole

if TYPE_CHECKING:
    from ngf_hub.scanning import Scanned

KEY_FILE = "key.json"
VARIABLE = "NGF_HUB_CACHE"
_TRIES = 10
# What another process that keeps the same result at the same moment leads to.
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)


def cache_folder() -> Path:
    """``$NGF_HUB_CACHE``, else ``ngf-hub`` in the user's cache folder, as Hub tools choose it."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "ngf-hub"


@dataclass(frozen=True)
class Key:
    """What a result depends on.

    Attributes:
        label: A name for people.
        content: All that it depends on, as JSON values.
    """

    label: str
    content: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The content as one text, always the same for the same content."""
        return json.dumps(self.content, sort_keys=True, indent=1)

    @property
    def name(self) -> str:
        """The folder that it is kept in."""
        return f"{folder_name(self.label)}-{hashlib.sha256(self.text.encode()).hexdigest()[:20]}"


class ScanStore:
    """A folder of results.

    Args:
        folder: Where; ``scans`` in :func:`cache_folder` if left out.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "scans"

    def find(self, key: Key) -> Result | None:
        """The result that was kept under a key; ``None`` where there is none, or it is broken."""
        place = self.folder / key.name
        try:
            if (place / KEY_FILE).read_text(encoding="utf-8") != key.text:
                return None
            report = ScanReport.read(place)
        except (OSError, ValueError, ReportError):
            return None
        whole = all((place / found.folder).is_dir() for found in report.triggers if found.folder)
        return Result(report, place, stored=True) if whole else None

    def keep(self, key: Key, scanned: Scanned) -> Result:
        """Keep a result, in the place of one that was kept under the same key before.

        Raises:
            NgfHubError: It cannot be written.
        """
        return self.put(key, lambda folder: fill(folder, scanned))

    def put(self, key: Key, write: Callable[[Path], ScanReport]) -> Result:
        """As :meth:`keep`, of a result that ``write`` writes into the folder that it is given.

        Raises:
            NgfHubError: It cannot be written.
        """
        place = self.folder / key.name
        for tries_left in reversed(range(_TRIES)):
            try:
                with written_whole(place) as part:
                    report = write(part)
                    (part / KEY_FILE).write_text(key.text, encoding="utf-8")
                    _flush(part)
                return Result(report, place)
            except NgfHubError as error:
                if getattr(error.__cause__, "errno", None) not in _TAKEN:
                    raise
                if (found := self.find(key)) is not None:
                    return replace(found, stored=False)
                if not tries_left:
                    raise
        raise AssertionError("unreachable")


def _flush(folder: Path) -> None:
    """Have the disk hold the files before the folder gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
