"""What evidence against a loaded model is: one function from a case to findings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeVar

from ngf_hub.progress import Track, silent

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ngf_hub.adapters import Classifier
    from ngf_hub.data import PixelSet
    from ngf_hub.report import Rate
    from ngf_hub.scan_report import Finding
    from ngf_hub.triggers import Trigger


@dataclass(frozen=True)
class Case:
    """What evidence is looked for in.

    Attributes:
        classifier: The model, on its device, in evaluation mode; it is not changed.
        images: A few hundred clean images, labels not needed; ``None`` without data.
        accelerator: Placement and precision.
        seed: Everything random follows from it.
        batch_size: Images a forward pass.
        track: Shows progress.
        timed: What :mod:`ngf_hub.evidence.timing` has measured of it: kinds ask alike.
    """

    classifier: Classifier
    images: PixelSet | None
    accelerator: Accelerator
    seed: int = 0
    batch_size: int = 64
    track: Track = silent
    timed: dict[tuple[int, bool], float] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )


@dataclass
class Recovered:
    """A trigger that a search recovered; see :class:`ngf_hub.scan_report.RecoveredTrigger`."""

    trigger: Trigger
    size: float
    success: Rate


@dataclass
class Collected:
    """What one kind of evidence brought in.

    Attributes:
        findings: At least one; with ``statistic`` and ``target``, and without
            p-value and status, which :mod:`ngf_hub.evidence.verdict` fills in
            from the calibration.
        triggers: The triggers that it recovered, best first.
    """

    findings: list[Finding]
    triggers: list[Recovered] = field(default_factory=list)


class Evidence(ABC):
    """One kind of evidence.

    Attributes:
        name: The name it is registered under.
        citation: The paper that it is from.
        needs_images: Whether it can do nothing without clean images.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    needs_images: ClassVar[bool] = True

    @abstractmethod
    def collect(self, case: Case) -> Collected:
        """Look for it.

        Raises:
            ModelError: The model cannot be looked at in this way.
        """

    def seconds(self, case: Case) -> float | None:
        """About how long :meth:`collect` will take, told before it starts.

        An estimate from a few timed passes of this model on this machine, in
        seconds; ``None`` where there is none.
        """
        return None


class Recovering(Evidence):
    """A kind of evidence that recovers triggers."""

    @abstractmethod
    def recover(self, case: Case, target: int | None) -> list[Recovered]:
        """Triggers to one class, those that work best first.

        Args:
            case: The model and clean images to search on.
            target: The class, or ``None`` for all-to-all (see :class:`Trigger`). A kind
                that does not search for such triggers has none.
        """


def class_label(label: int, names: Sequence[str] | None) -> str:
    """How a finding calls a class.

    >>> class_label(3, None), class_label(1, ["cat", "dog"])
    ('3', '1 (dog)')
    """
    return f"{label} ({names[label]})" if names else str(label)


KINDS: dict[str, type[Evidence]] = {}
EvidenceClass = TypeVar("EvidenceClass", bound=type[Evidence])


def register(evidence_class: EvidenceClass) -> EvidenceClass:
    """Class decorator: make a kind of evidence known under its ``name``."""
    KINDS[evidence_class.name] = evidence_class
    return evidence_class
