"""What a purification method is: options, and one function from a task to an outcome."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_type_hints

from torch import Tensor

from ngf_hub.errors import MethodError
from ngf_hub.progress import Track, silent

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ngf_hub.adapters import Classifier
    from ngf_hub.adapters.layers import Layer
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
    """

    classifier: Classifier
    layers: list[Layer]
    pixels: PixelSet
    accelerator: Accelerator
    seed: int = 0
    batch_size: int = 64
    track: Track = silent
    triggers: Sequence[Trigger] = ()


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
    """

    losses: list[float]
    steps: int
    options: dict[str, Any] | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)


@dataclass
class Method(ABC):
    """A method; its dataclass fields are its options.

    Attributes:
        name: The name it is registered under.
        citation: The paper that it is from.
        needs_labels: Whether the images that tune need labels.
        needs_triggers: Whether it has to be told what to forget.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    needs_labels: ClassVar[bool] = True
    needs_triggers: ClassVar[bool] = False

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


def option(default: float, help: str, *, low: float = 0) -> Any:
    """A dataclass field that is an option of a method: what it means, and its lowest value."""
    return field(default=default, metadata={"help": help, "low": low})


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
    if name not in METHODS:
        raise MethodError(f"Unknown method {name!r}.", f"Known: {', '.join(sorted(METHODS))}.")
    method_class = METHODS[name]
    types = get_type_hints(method_class)
    known = [entry.name for entry in fields(method_class)]
    values: dict[str, Any] = {}
    for key, value in (options or {}).items():
        if key not in known:
            raise MethodError(
                f"Method {name} has no option {key!r}.", f"Known: {', '.join(known)}."
            )
        try:
            values[key] = types[key](value)
        except (TypeError, ValueError) as error:
            kind = types[key].__name__
            raise MethodError(
                f"Option {key}={value!r} of {name} must be of type {kind}."
            ) from error
        low = next(entry.metadata["low"] for entry in fields(method_class) if entry.name == key)
        if not low <= values[key] < math.inf:  # NaN fails this too
            raise MethodError(f"Option {key}={value!r} of {name} must be {low:g} or more.")
    return method_class(**values)


def snapshot(layers: list[Layer]) -> list[Tensor]:
    """Copies of all parameters of the layers, to measure the change or to go back."""
    return [p.detach().clone() for layer in layers for p in layer.module.parameters(recurse=False)]


def restore(layers: list[Layer], copies: list[Tensor]) -> None:
    """Put the parameters of :func:`snapshot` back."""
    parameters = [p for layer in layers for p in layer.module.parameters(recurse=False)]
    for parameter, copy in zip(parameters, copies, strict=True):
        parameter.data.copy_(copy)


def relative_change(layers: list[Layer], copies: list[Tensor]) -> float:
    """Frobenius norm of the change since :func:`snapshot` over the norm of then."""
    parameters = [p for layer in layers for p in layer.module.parameters(recurse=False)]
    change = sum(
        float((p.detach() - c).square().sum()) for p, c in zip(parameters, copies, strict=True)
    )
    norm = sum(float(c.square().sum()) for c in copies)
    return (change / norm) ** 0.5 if norm else 0.0
