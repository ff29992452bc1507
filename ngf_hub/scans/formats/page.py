"""One HTML page of scans; see :mod:`ngf_hub.pages.scan_page`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ngf_hub.scans.output import Result


def render_page(results: Sequence[Result]) -> str:
    """A table of the models, which sorts by any column, and the evidence against each."""
    # The page's own parts use the wording beside this file.
    from ngf_hub.pages.scan_page import scan_page

    return scan_page([(result.report, result.folder) for result in results])
