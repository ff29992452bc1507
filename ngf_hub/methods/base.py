"""What a purification method is: options, and one function from a task to an outcome."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from ngf_hub.errors import MethodError
from ngf_hub.options import make
from ngf_hub.options import option as any_option
from ngf_hub.progress import Track, silent

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ngf_hub.adapters import Classifier
    from ngf_hub.adapters.layers import Layer
    from ngf_hub.cure_report import Cure
    from ngf_hub.data import PixelSet
    from ngf_hub.triggers import Trigger


@dataclass(frozen=True)
class Task:
    """What a method works on.

    Attributes:
        classifier: The model, on its device; its weights are changed in place.
        layers: The layers that may change, all others stay as they are.
        pixels: The clean images that tune, with labels where the method needs them.
        accelerator: Placement, precision and reduction.
        seed: Seeds the order of batches and labels drawn from the model.
        batch_size: Images a forward pass.
        track: Shows progress.
        triggers: What the model shall forget, for methods that need to be told.
        choose: The user named no layer, so that a method that can choose among the
            layers does.
    """

    classifier: Classifier
    layers: list[Layer]
    pixels: PixelSet
    accelerator: Accelerator
    seed: int = 0
    batch_size: int = 64
    track: Track = silent
    triggers: Sequence[Trigger] = ()
    choose: bool = False


@dataclass
class Outcome:
    """What a method did.

    Attributes:
        losses: The objective on all tuning images: before any step, after each
            where that comes free, and after the last.
        steps: How many steps changed the weights.
        options: The options as they were used, where they differ from what was
            set: defaults that depend on the layers, options without effect.
        diagnostics: Further figures, as JSON values.
        layers: The names of the layers that it tuned, where it chose them itself.
        seen: Triggers that it recovered itself and tuned with.
        unseen: Triggers that it recovered to check with, and did not tune with.
        cure: What it found out about its own work, if it does.
    """

    losses: list[float]
    steps: int
    options: dict[str, Any] | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)
    layers: list[str] | None = None
    seen: Sequence[Trigger] = ()
    unseen: Sequence[Trigger] = ()
    cure: Cure | None = None


@dataclass
class Method(ABC):
    """A method; its dataclass fields are its options.

    Attributes:
        name: The name it is registered under.
        citation: The paper that it is from.
        needs_labels: Whether the images that tune need labels.
        needs_triggers: Whether it has to be told what to forget.
        heeds_triggers: Whether it can be told.
        default_layer: What it tunes where the user names no layer, as in its paper.
        batch_norm: What becomes of the running statistics of batch normalisation:
            ``kept``, or ``updated`` where it tunes every layer of a network (where it
            tunes some layers only, all else stays as it is).
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    needs_labels: ClassVar[bool] = True
    needs_triggers: ClassVar[bool] = False
    heeds_triggers: ClassVar[bool] = False
    default_layer: ClassVar[str] = "*"
    batch_norm: ClassVar[Literal["kept", "updated"]] = "kept"

    @abstractmethod
    def tune(self, task: Task) -> Outcome:
        """Change the weights of ``task.layers`` so that the backdoor goes.

        Raises:
            MethodError: It cannot run on these layers, or it diverged; the
                weights are then those from before.
            DataError: Labels are needed and missing.
        """

    def options(self) -> dict[str, Any]:
        """The options as JSON values, for the report."""
        return asdict(self)


def option(default: float, help: str, *, low: float = 0, high: float = math.inf) -> Any:
    """A dataclass field that is an option of a method: what it means, and its bounds."""
    return any_option(default, help, low=low, high=high)


METHODS: dict[str, type[Method]] = {}
MethodClass = TypeVar("MethodClass", bound=type[Method])


def register(method_class: MethodClass) -> MethodClass:
    """Class decorator: make a method known under its ``name``."""
    METHODS[method_class.name] = method_class
    return method_class


def make_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """The method of a name with some of its options set.

    Args:
        name: A registered name.
        options: Values, or texts that are read as the option's type.

    Raises:
        MethodError: Unknown name or option, or a value that does not fit.
    """
    return make(METHODS, "method", name, options, MethodError)
