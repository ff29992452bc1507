"""The parts that the reports of purification and scans are made of: rates, model, data, cost."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from ngf_hub.text import json_text, redact


def wilson_interval(count: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson 1927), 95 % by default.

    Args:
        count: How many of the n.
        n: How many in all; 0 gives (0, 1).
        z: The normal quantile.

    >>> low, high = wilson_interval(5, 10)
    >>> round(low, 4), round(high, 4)
    (0.2366, 0.7634)
    """
    if n == 0:
        return 0.0, 1.0
    share = count / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 of n and n of n the bound is exact; rounding must not leave [0, 1].
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == n else min(1.0, centre + half)
    return low, high


def without_tokens(value: Any) -> Any:
    """The JSON value with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [without_tokens(entry) for entry in value]
    if isinstance(value, dict):
        return {redact(key): without_tokens(entry) for key, entry in value.items()}
    return value


class Part(BaseModel):
    """Base of all parts: NaN is refused; keys of later versions are passed over."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


def write_part(part: Part, path: Path) -> Path:
    """Write a part as JSON, beside its place and then renamed.

    Tokens (an argument of the command line, say) are left out.
    """
    content = without_tokens(part.model_dump(mode="json"))
    text = json_text(content)
    beside = path.with_suffix(".json.part")
    beside.write_text(text + "\n", encoding="utf-8")
    os.replace(beside, path)
    return path


class Rate(Part):
    """A share with its n and its 95 % Wilson interval."""

    count: int = Field(ge=0)
    n: int = Field(ge=0, le=2**53)

    @model_validator(mode="after")
    def _is_share(self) -> Rate:
        if self.count > self.n:
            raise ValueError("a count is larger than the number that it is of")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def value(self) -> float | None:
        """``count / n``, or ``None`` where n is 0."""
        return self.count / self.n if self.n else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval."""
        return wilson_interval(self.count, self.n)

    def percent(self) -> str:
        """Such as ``84.9 % [83.2, 86.4], n = 2000``."""
        if self.value is None:
            return "not measured, n = 0"
        low, high = self.interval
        return f"{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}], n = {self.n}"

    def short(self) -> str:
        """Such as ``84.9 [83.2, 86.4]``, for the cells of a table."""
        if self.value is None:
            return "–"
        low, high = self.interval
        return f"{100 * self.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


class ClassRates(Part):
    """The rates of the images of one class."""

    label: int
    name: str | None = None
    accuracy: Rate
    attack_success: Rate | None = None
    recovered_accuracy: Rate | None = None


class Measurement(Part):
    """What a model does on judging images.

    Attributes:
        accuracy: Clean accuracy (ACC).
        attack_success: Attack success rate (ASR), over triggered images whose
            true label is not the wanted one; ``None`` without a trigger.
        recovered_accuracy: Recovered accuracy (RA): the share of the same
            triggered images that are classified as their true label.
        per_class: The same for each class.
    """

    accuracy: Rate
    attack_success: Rate | None = None
    recovered_accuracy: Rate | None = None
    per_class: list[ClassRates] = []


class ModelInfo(Part):
    """The model that was read."""

    name: str
    commit: str | None = None
    family: str
    architecture: str
    licence: str | None = None
    num_classes: int
    class_names: list[str] | None = None
    parameters: int
    head: list[str] = []
    preprocessing: dict[str, Any] = {}
    files: dict[str, str] = {}
    notes: list[str] = []


class SplitInfo(Part):
    """The images of one use: they tune a model, judge one, or a scan looks at one with them."""

    split: str
    n: int
    use: Literal["tune", "judge", "scan"]


class DataInfo(Part):
    """The dataset, and which of its images did what.

    Attributes:
        name: The Hub id, path, or name of an embedded set.
        revision: The commit hash of a Hub dataset.
        config: The Hub dataset's configuration, if it has several.
        class_matching: ``by name``, ``by index`` (one side has no names), or
            ``by name, subset`` where the data has only some of the classes.
        unlabelled: The judging images have no labels: what the original model says of
            them stands for these, and accuracy is agreement with it.
    """

    name: str
    revision: str | None = None
    config: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    licence: str | None = None
    class_matching: str | None = None
    unlabelled: bool = False
    splits: list[SplitInfo] = []
    notes: list[str] = []


class TriggerInfo(Part):
    """The trigger that ASR was measured with.

    Attributes:
        origin: ``given`` by the user, of a ``known attack`` (the model was
            backdoored by this tool with it), or ``recovered`` by a scan, in
            which case the ASR is an estimate.
        target: The target class, ``None`` for all-to-all.
    """

    family: str
    origin: Literal["given", "known attack", "recovered"]
    target: int | None = None
    target_name: str | None = None
    parameters: dict[str, Any] = {}


class MethodInfo(Part):
    """What purification did.

    Attributes:
        layers: The names of the tuned layers.
        loss: The objective before any step, after each where that comes free,
            and after the last.
        change: Frobenius norm of the change of the tuned weights over their norm.
        diagnostics: Further figures of the method.
        citation: The paper that the method is from.
        batch_norm: Whether running statistics of batch normalisation were ``kept`` or
            ``updated``.
    """

    name: str
    layers: list[str]
    options: dict[str, Any] = {}
    steps: int
    loss: list[float] = []
    change: float
    diagnostics: dict[str, Any] = {}
    citation: str | None = None
    batch_norm: str = "kept"


class Curvature(Part):
    """The Fisher information of some layers on clean images, by K-FAC, in a few numbers.

    Attributes:
        eigenvalues: The largest ones, descending.
        trace: The sum of all.
    """

    eigenvalues: list[float] = []
    trace: float


class Spectrum(Part):
    """The curvature of the tuned layers before and after; see :mod:`ngf_hub.spectrum`.

    Attributes:
        layers: The names of the layers that it is taken over, as if there were no others.
        images: How many judging images it is a mean over.
    """

    layers: list[str]
    images: int
    before: Curvature
    after: Curvature


class AttackInfo(Part):
    """How a backdoor was put into a model on purpose.

    Attributes:
        kind: ``dirty label``, ``clean label`` or ``generator``.
        options: Those of the attack, with the poison rate.
        training: The settings of the training.
        from_scratch: Whether the weights were random before.
        loss: The mean loss in each of up to 100 equal parts of the training.
        diagnostics: Further figures, such as the number of poisoned images.
    """

    name: str
    citation: str
    kind: str
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    from_scratch: bool
    steps: int
    loss: list[float] = []
    diagnostics: dict[str, Any] = {}


class Cost(Part):
    """What it cost, in seconds and bytes."""

    seconds: dict[str, float] = {}
    peak_memory_bytes: int | None = None
    device: str = "cpu"
    processes: int = 1
    mixed_precision: str = "no"


class Provenance(Part):
    """How to run the same thing again."""

    tool_version: str
    versions: dict[str, str] = {}
    command: list[str] = []
    arguments: dict[str, Any] = {}
    seed: int
    created: str
