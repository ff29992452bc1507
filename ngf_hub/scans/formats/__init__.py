"""What scans found, for programs and people: one file a format.

- ``document``: JSON, every report whole.
- ``sarif``: SARIF 2.1.0, for code scanning.
- ``page``: one HTML page without anything beside it.
- ``wording``: the short texts that these share with the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ngf_hub.scans.formats.document import render_document
from ngf_hub.scans.formats.page import render_page
from ngf_hub.scans.formats.sarif import render_sarif

if TYPE_CHECKING:
    from ngf_hub.scans.output import Result

FORMATS = {"json": render_document, "sarif": render_sarif, "html": render_page}


def render(name: str, results: Sequence[Result]) -> str:
    """Results in the format of a name of :data:`FORMATS`."""
    return FORMATS[name](results)
