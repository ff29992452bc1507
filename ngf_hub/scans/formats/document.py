"""One JSON document of all reports, whether there is one or many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ngf_hub import __version__
from ngf_hub.report import without_tokens
from ngf_hub.scan_report import SCAN_SCHEMA_VERSION
from ngf_hub.text import json_text

if TYPE_CHECKING:
    from ngf_hub.scans.output import Result


def render_document(results: Sequence[Result]) -> str:
    """``scans`` holds each report as its ``scan.json`` has it, ``summary`` counts the verdicts."""
    counts = Counter(result.report.verdict for result in results)
    content: dict[str, Any] = {
        "schema_version": SCAN_SCHEMA_VERSION,
        "tool": "ngf-hub",
        "tool_version": __version__,
        "kind": "scans",
        "summary": {"models": len(results), **counts},
        "scans": [result.report.model_dump(mode="json") for result in results],
    }
    return json_text(without_tokens(content)) + "\n"
