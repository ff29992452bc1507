"""What the statistics are on clean models: the packaged table that p-values come from.

``benchmarks/calibrate.py`` writes it.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from ngf_hub.errors import ReportError
from ngf_hub.evidence.null import Null

PACKAGED = Path(__file__).with_name("calibration.json")
CALIBRATION_SCHEMA_VERSION = 1

Values = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]


class CleanModel(BaseModel):
    """The statistics of one clean model.

    Attributes:
        model: Its name.
        architecture: Such as ``resnet20``.
        classes: The number of classes.
        with_images: For each kind of finding its values, one a seed, where clean
            images were given.
        without_images: Likewise, without data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    architecture: str
    classes: int = Field(ge=1)
    with_images: dict[str, Values] = Field(default_factory=dict)
    without_images: dict[str, Values] = Field(default_factory=dict)


class Calibration(BaseModel):
    """The statistics of clean models.

    Attributes:
        schema_version: Of this file.
        made_with: How they were measured: version, images, seeds.
        models: One entry a model; names are unique.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = CALIBRATION_SCHEMA_VERSION
    made_with: dict[str, Any] = Field(default_factory=dict)
    models: list[CleanModel] = Field(default_factory=list)
    _nulls: dict[tuple[str, bool], Null | None] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Calibration:
        if len({entry.model for entry in self.models}) != len(self.models):
            raise ValueError("two models have one name")
        return self

    def null(self, kind: str, *, with_images: bool = True) -> Null | None:
        """The distribution of a kind's statistic, or ``None`` if too few models have one."""
        key = (kind, with_images)
        if key not in self._nulls:
            tables = [
                entry.with_images if with_images else entry.without_images for entry in self.models
            ]
            self._nulls[key] = Null.fit([table[kind] for table in tables if kind in table])
        return self._nulls[key]

    def without(self, model: str) -> Calibration:
        """The calibration that leaves one model out."""
        rest = [entry for entry in self.models if entry.model != model]
        return Calibration(made_with=self.made_with, models=rest)

    @property
    def most_classes(self) -> int:
        """The largest number of classes of any model; 0 if there is none."""
        return max((entry.classes for entry in self.models), default=0)

    @classmethod
    def read(cls, path: Path = PACKAGED) -> Calibration:
        """The calibration in a file.

        Raises:
            ReportError: It is missing, broken or of a later version.
        """
        try:
            calibration = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, ValidationError, RecursionError) as error:
            first = str(error).splitlines()[0]
            raise ReportError(
                f"{path.name} is no calibration: {first}",
                "Write one with `python -m benchmarks.calibrate`, or reinstall ngf-hub.",
            ) from error
        if calibration.schema_version > CALIBRATION_SCHEMA_VERSION:
            raise ReportError(f"{path.name} is of a later version.", "Upgrade ngf-hub.")
        return calibration

    def write(self, path: Path) -> None:
        """Write it beside its place and rename it; one model a line, so that diffs are legible."""
        head = {"schema_version": self.schema_version, "made_with": self.made_with}
        text = json.dumps(head, ensure_ascii=False)[:-1] + ', "models": [\n'
        ordered = sorted(self.models, key=lambda entry: entry.model)
        lines = [json.dumps(entry.model_dump(), ensure_ascii=False) for entry in ordered]
        text += ",\n".join(lines) + "\n]}\n"
        beside = path.with_suffix(".json.part")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)


@lru_cache(maxsize=1)
def packaged_calibration() -> Calibration:
    """The calibration that ships with the library; read once."""
    return Calibration.read(PACKAGED)
