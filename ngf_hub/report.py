"""The report: the one place that every number on the card, page and screen is read from.

It also holds what is needed to run the same thing again: repository and commit
of model and dataset, seed, versions and arguments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ngf_hub.bounded_files import MAX_REPORT, parse_json, read_text
from ngf_hub.cure_report import Cure
from ngf_hub.errors import ReportError
from ngf_hub.report_parts import (
    AttackInfo,
    ClassRates,
    Cost,
    DataInfo,
    Measurement,
    MethodInfo,
    ModelInfo,
    Part,
    Provenance,
    Rate,
    Spectrum,
    SplitInfo,
    TriggerInfo,
    wilson_interval,
    without_tokens,
    write_part,
)
from ngf_hub.text import plain

__all__ = [
    "REPORT_FILE",
    "SCHEMA_VERSION",
    "AttackInfo",
    "ClassRates",
    "Cost",
    "DataInfo",
    "Measurement",
    "MethodInfo",
    "ModelInfo",
    "Part",
    "Provenance",
    "Rate",
    "Report",
    "Spectrum",
    "SplitInfo",
    "TriggerInfo",
    "wilson_interval",
    "without_tokens",
    "write_part",
]

REPORT_FILE = "report.json"
SCHEMA_VERSION = 1


class Report(Part):
    """All that is known of one run: the content of ``report.json``.

    Attributes:
        cure: What the method found out about its own work, where it checks itself.
        spectrum: The curvature of the layers that a method tuned, before and after.
        backdoored: The model beside it is a research model with a backdoor put
            there on purpose; it is published on request only.
    """

    schema_version: int = SCHEMA_VERSION
    tool: Literal["ngf-hub"] = "ngf-hub"
    kind: Literal["purify", "evaluate", "attack"]
    model: ModelInfo
    data: DataInfo
    trigger: TriggerInfo | None = None
    method: MethodInfo | None = None
    cure: Cure | None = None
    attack: AttackInfo | None = None
    before: Measurement
    after: Measurement | None = None
    spectrum: Spectrum | None = None
    cost: Cost = Field(default_factory=Cost)
    provenance: Provenance
    warnings: list[str] = Field(default_factory=list)
    backdoored: bool = False

    @property
    def accuracy_name(self) -> str:
        """What :attr:`Measurement.accuracy` is: agreement, where images have no labels."""
        return "Agreement with the original" if self.data.unlabelled else "Clean accuracy (ACC)"

    @property
    def current(self) -> Measurement:
        """What the model beside the report does: after purification, if there was one."""
        return self.after or self.before

    def write(self, folder: Path) -> Path:
        """Write ``report.json`` into ``folder``; see :func:`write_part`."""
        return write_part(self, folder / REPORT_FILE)

    @classmethod
    def read(cls, folder: Path) -> Report:
        """The report of an output folder.

        Raises:
            ReportError: There is none, or it is broken or of a later version.
        """
        path = folder / REPORT_FILE
        try:
            text = read_text(path, MAX_REPORT)
        except (OSError, ValueError) as error:
            raise ReportError(
                f"No readable {REPORT_FILE} in {plain(folder)}.",
                "Give a folder that `ngf-hub purify --output` wrote.",
            ) from error
        try:
            content = parse_json(text)
            version = content.get("schema_version") if isinstance(content, dict) else None
            if isinstance(version, int) and version > SCHEMA_VERSION:
                raise ReportError(
                    f"{plain(path)} has schema version {plain(version, 20)}, "
                    f"newer than {SCHEMA_VERSION}.",
                    "Upgrade ngf-hub.",
                )
            return cls.model_validate(content)
        except (ValueError, ValidationError) as error:
            raise ReportError(
                f"{plain(path)} is no report of ngf-hub: {plain(_first_line(error), 120)}",
                "Give a folder that `ngf-hub purify --output` wrote.",
            ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
