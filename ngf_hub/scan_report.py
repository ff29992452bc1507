"""What a scan found: the content of ``scan.json``, of which table, SARIF and page are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ngf_hub.bounded_files import MAX_REPORT, read_json
from ngf_hub.errors import ReportError
from ngf_hub.report_parts import Cost, DataInfo, ModelInfo, Part, Provenance, Rate, write_part
from ngf_hub.text import plain

SCAN_FILE = "scan.json"
SCAN_SCHEMA_VERSION = 1

Verdict = Literal["backdoored", "unsafe files", "nothing found", "inconclusive", "failed"]


class Finding(Part):
    """What one kind of evidence says of a model.

    Attributes:
        kind: The evidence's registered name: ``files``, ``patch``, ``margin``, ...
        status: ``flagged``, ``clear``, or ``not judged`` where it could not say
            (the summary says why).
        weak: It is shown, and does not decide the verdict.
        statistic: The figure that it judges by; higher is more suspicious.
        p_value: The share of clean models with such a statistic or a higher
            one; ``None`` where no clean models of its kind were measured.
        target: The target class that it suspects.
        summary: One line for people.
        details: Further figures, as JSON values.
        seconds: What it took.
    """

    kind: str
    status: Literal["flagged", "clear", "not judged"] = "not judged"
    weak: bool = False
    statistic: float | None = None
    p_value: float | None = Field(default=None, ge=0, le=1)
    target: int | None = None
    summary: str
    details: dict[str, Any] = Field(default_factory=dict)
    seconds: float = 0.0


class RecoveredTrigger(Part):
    """A trigger that the search recovered.

    Attributes:
        family: ``patch``, ``additive``, ...
        target: The class that it sends images to, ``None`` where it sends each class to
            the next (all-to-all).
        size: L1 norm of the mask in pixels (patches), or root mean square of
            the change of a pixel in [0, 1] (full-image families).
        success: Share of images that it sends to the target, on images that
            the search did not see, of those not predicted as the target before.
        folder: Where it lies, below the scan's output folder.
    """

    family: str
    target: int | None
    target_name: str | None = None
    size: float
    success: Rate
    folder: str | None = None


class ScanReport(Part):
    """All that is known of one scan of one model.

    Attributes:
        name: The Hub id or path, as the user gave it.
        commit: The commit hash of a Hub model.
        verdict: ``backdoored``; ``unsafe files`` where one could run code, be it
            beside weights in which nothing was found; ``nothing found``;
            ``inconclusive`` where no evidence could judge, or the weights cannot be
            loaded safely; ``failed`` where it could not be scanned.
        summary: What led to the verdict, in one line for people.
        target: The suspected target class.
        p_value: The share of clean models on which the evidence together would
            be as strong, from the calibration on clean models.
        confidence: ``1 - p_value`` where something was flagged.
        error: One line, where it failed.
    """

    schema_version: int = SCAN_SCHEMA_VERSION
    tool: Literal["ngf-hub"] = "ngf-hub"
    kind: Literal["scan"] = "scan"
    name: str
    commit: str | None = None
    verdict: Verdict
    summary: str = ""
    target: int | None = None
    target_name: str | None = None
    p_value: float | None = None
    confidence: float | None = None
    findings: list[Finding] = Field(default_factory=list)
    triggers: list[RecoveredTrigger] = Field(default_factory=list)
    model: ModelInfo | None = None
    data: DataInfo | None = None
    cost: Cost = Field(default_factory=Cost)
    provenance: Provenance | None = None
    warnings: list[str] = Field(default_factory=list)
    error: str | None = None

    @property
    def flagged(self) -> bool:
        """Whether a user should not deploy the model."""
        return self.verdict in ("backdoored", "unsafe files")

    @property
    def unseen(self) -> bool:
        """Whether nothing can be said of the model, since its weights were not looked at."""
        refused = self.verdict == "inconclusive" and self.model is None
        return refused or self.verdict == "failed"

    def write(self, folder: Path) -> Path:
        """Write ``scan.json`` into ``folder``; see :func:`ngf_hub.report.write_part`."""
        return write_part(self, folder / SCAN_FILE)

    @classmethod
    def read(cls, folder: Path) -> ScanReport:
        """The scan report of an output folder.

        Raises:
            ReportError: There is none, or it is broken or of a later version.
        """
        path = folder / SCAN_FILE
        try:
            report = cls.model_validate(read_json(path, MAX_REPORT))
        except (OSError, ValueError, ValidationError) as error:
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise ReportError(
                f"{plain(path)} is no scan report: {plain(first, 120)}",
                "Give what `ngf-hub scan --output` wrote.",
            ) from error
        if report.schema_version > SCAN_SCHEMA_VERSION:
            raise ReportError(f"{plain(path)} is of a later version.", "Upgrade ngf-hub.")
        return report
