"""Where the results of a scan are written: documents, and a folder with all that there is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ngf_hub.errors import NgfHubError
from ngf_hub.pages.layout import is_page
from ngf_hub.scans.output import Result, check_scan_output, write_results
from ngf_hub.whole import check_writable, write_whole

# The longest ending that fits counts.
_ENDINGS = {
    ".sarif.json": "sarif",
    ".sarif": "sarif",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
}


@dataclass(frozen=True)
class Outputs:
    """The places that a user named.

    Attributes:
        documents: Files, each with its format.
        folders: Folders for everything.
    """

    documents: tuple[tuple[Path, str], ...]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, paths: Iterable[Path], asked: str | None = None) -> Outputs:
        """Files by their endings; every other path is a folder.

        Args:
            paths: What the user named.
            asked: The format of files where the user asked for one.
        """
        documents, folders = [], []
        for path in paths:
            fits = [kind for end, kind in _ENDINGS.items() if path.name.lower().endswith(end)]
            if fits and not path.is_dir():
                documents.append((path, asked or fits[0]))
            else:
                folders.append(path)
        return cls(tuple(documents), tuple(folders))

    @property
    def places(self) -> list[Path]:
        """All of them."""
        return [*self.folders, *(path for path, _ in self.documents)]

    @property
    def formats(self) -> set[str]:
        """The formats of the files."""
        return {kind for _, kind in self.documents}

    def check(self, sources: Sequence[str]) -> None:
        """Refuse places that cannot be written or hold what no scan wrote, before any work.

        Raises:
            NgfHubError: One is such a place.
        """
        for folder in self.folders:
            check_scan_output(folder, sources=sources)
        for path, kind in self.documents:
            if path.exists() and not _is_document(path, kind):
                raise NgfHubError(
                    f"{path} is there and no scan wrote it.",
                    "Give another --output; nothing of others is overwritten.",
                )
            check_writable(path.absolute().parent)

    def write(self, results: Sequence[Result], *, many: bool) -> None:
        """Write the results into every place, each of which appears whole or not at all.

        Args:
            results: The results.
            many: See :func:`ngf_hub.scans.output.write_results`.

        Raises:
            NgfHubError: A place cannot be written.
        """
        from ngf_hub.scans.formats import render

        for folder in self.folders:
            write_results(folder, results, many=many)
        for path, kind in self.documents:
            write_whole(path, render(kind, results), "Give another --output; results are kept.")


def _is_document(path: Path, kind: str) -> bool:
    """Whether a file is what :func:`ngf_hub.scans.formats.render` writes."""
    try:
        text = path.read_text(encoding="utf-8")
        if kind == "html":
            return is_page(text)
        content = json.loads(text)
        if kind == "sarif":
            return bool(content["runs"][0]["tool"]["driver"]["name"] == "ngf-hub")
        return content.get("tool") == "ngf-hub" and content.get("kind") in ("scan", "scans")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False
