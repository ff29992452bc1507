"""What a trigger is: a change of pixels, and the class it asks for.

A family is one file with one class that is registered under its name. It can
be saved as a folder (``trigger.json`` and ``trigger.safetensors``, no pickle
and no code) and loaded again to the same pixels.
"""

from __future__ import annotations

import json
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from ngf_hub.bounded_files import read_json
from ngf_hub.errors import TriggerError
from ngf_hub.evidence.safetensors_header import loads_quickly
from ngf_hub.paths import existing
from ngf_hub.text import plain
from ngf_hub.triggers.options import Options

CONFIG_FILE = "trigger.json"
TENSOR_FILE = "trigger.safetensors"
_HINT = "Give a folder that `ngf-hub attack` or `ngf-hub scan` wrote."
_MAX_CONFIG = 4 << 20
_MAX_TENSORS = 512 << 20
_MAX_CLASSES = 1 << 31
_TYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.uint8, torch.int32, torch.int64, torch.bool),
)
# See TriggerInfo.origin of the report.
ORIGINS = ("given", "known attack", "recovered")


@dataclass(frozen=True)
class MadeFor:
    """The model and images that an attack made a trigger for.

    Attributes:
        size: Height and width of the images.
        num_classes: The number of classes.
        class_names: Their names, if they have any.
        dataset: The name of the dataset.
    """

    size: tuple[int, int]
    num_classes: int
    class_names: tuple[str, ...] | None = None
    dataset: str = ""

    def check(self, size: tuple[int, int], num_classes: int, names: Sequence[str] | None) -> None:
        """Refuse a model of other images or classes.

        Raises:
            TriggerError: It is one.
        """
        made = f"The trigger was made for {self.dataset or 'other images'}"
        if self.size != size:
            raise TriggerError(
                f"{made} of {self.size[0]}x{self.size[1]} pixels, the model takes "
                f"{size[0]}x{size[1]}.",
                "Give the trigger folder that belongs to this model.",
            )
        if self.num_classes != num_classes or (
            names is not None
            and self.class_names is not None
            and [name.lower() for name in names] != [name.lower() for name in self.class_names]
        ):
            raise TriggerError(
                f"{made} with {self.num_classes} classes, which are not those of the model.",
                "Give the trigger folder that belongs to this model.",
            )


class Trigger(ABC):
    """A trigger of one family.

    Attributes:
        family: The name it is registered under.
        target: The target class (all-to-one), or ``None`` for all-to-all,
            where label y is turned into (y + 1) mod C (Gu et al. 2017).
        origin: One of :data:`ORIGINS`. An ASR that was measured with a trigger that a
            scan ``recovered`` is an estimate, so its folder says where it came from.
        made_for: The model and images that an attack made it for, if one did.
    """

    family: ClassVar[str]
    target: int | None
    origin: str = "given"
    made_for: MadeFor | None = None

    @abstractmethod
    def apply(self, pixels: Tensor) -> Tensor:
        """Triggered pixels in [0, 1] of clean pixels (N, channels, H, W) in [0, 1].

        The input is not changed.

        Raises:
            TriggerError: The trigger does not fit images of this size.
        """

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """What describes it besides its tensors, as JSON values."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The tensors that :meth:`from_parts` needs."""

    @classmethod
    @abstractmethod
    def from_parts(
        cls, parameters: Mapping[str, Any], tensors: Mapping[str, Tensor], target: int | None
    ) -> Trigger:
        """The trigger of these parameters and tensors: the inverse of the two above."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Options, target: int | None) -> Trigger:
        """The trigger that a user described by ``key=value`` options.

        Raises:
            TriggerError: An option does not fit.
        """

    def wanted(self, labels: Tensor, num_classes: int) -> Tensor:
        """The class (N,) that the attacker wants for images of these labels."""
        if self.target is None:
            return (labels + 1) % num_classes
        return labels.new_full(labels.shape, self.target)

    def meant_for(self, labels: Tensor) -> Tensor:
        """Which images (N,) of these labels it is made for, of the target class or not."""
        return torch.ones_like(labels, dtype=torch.bool)

    def save(self, folder: Path) -> None:
        """Write ``trigger.json`` and ``trigger.safetensors`` into ``folder``."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors().items()}
        save_file(tensors, folder / TENSOR_FILE)
        config = {"family": self.family, "target": self.target, "parameters": self.parameters()}
        if self.origin != "given":
            config["origin"] = self.origin
        if self.made_for is not None:
            config["made_for"] = asdict(self.made_for)
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


FAMILIES: dict[str, type[Trigger]] = {}
TriggerClass = TypeVar("TriggerClass", bound=type[Trigger])


def register(trigger_class: TriggerClass) -> TriggerClass:
    """Class decorator: make a family known under its ``family`` name."""
    FAMILIES[trigger_class.family] = trigger_class
    return trigger_class


def has_own_target(spec: str) -> bool:
    """Whether a text names a trigger folder, which brings its target with it."""
    path = existing(spec)
    return path is not None and (path / CONFIG_FILE).is_file()


def load_folder(folder: Path) -> Trigger:
    """The trigger that :meth:`Trigger.save` wrote.

    Raises:
        TriggerError: A file is missing or broken, or the family is unknown.
    """
    where = plain(folder)
    try:
        config = read_json(folder / CONFIG_FILE, _MAX_CONFIG)
        if not isinstance(config, dict):
            raise ValueError(f"{CONFIG_FILE} holds no JSON object")
        family, target = str(config["family"]), config["target"]
        parameters = dict(config["parameters"])
        tensors = _read_tensors(folder / TENSOR_FILE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TriggerError(f"{where} is no trigger folder: {plain(error, 120)}", _HINT) from error
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise TriggerError(
            f"Unknown trigger family {plain(family, 40)!r} in {where}.", f"Known: {known}."
        )
    if target is not None and (type(target) is not int or not 0 <= target < _MAX_CLASSES):
        raise TriggerError(
            f"{where}: the target must be a class index or null, not {plain(target, 40)!r}.", _HINT
        )
    origin = config.get("origin", "given")
    if origin not in ORIGINS:
        known = ", ".join(ORIGINS)
        raise TriggerError(f"{where}: unknown origin {plain(origin, 40)!r}.", f"Known: {known}.")
    try:
        trigger = FAMILIES[family].from_parts(parameters, tensors, target)
        for name, tensor in tensors.items():
            if not tensor.numel() or not tensor.isfinite().all():
                raise ValueError(f"{plain(name, 40)} holds no finite numbers")
    except TriggerError:
        raise
    # Families check what they know of; whatever else does not fit raises what it will.
    except Exception as error:
        raise TriggerError(
            f"{where} does not describe a {family} trigger: {plain(error, 120)}", _HINT
        ) from error
    trigger.origin = origin
    trigger.made_for = _made_for(folder, config.get("made_for"))
    return trigger


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a trigger, which are small, from a header that does not lie.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no safetensors file, too large, or holds other than plain numbers.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_TENSORS:
        raise ValueError(f"{TENSOR_FILE} is no file of a trigger's tensors")
    if not loads_quickly(path):
        raise ValueError(f"{TENSOR_FILE} has too long a header")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{TENSOR_FILE} is no safetensors file") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES:
            raise ValueError(f"{plain(name, 40)} is stored as {tensor.dtype}")
    return tensors


def _made_for(folder: Path, stated: Any) -> MadeFor | None:
    if stated is None:
        return None
    try:
        names = stated["class_names"]
        height, width = stated["size"]
        return MadeFor(
            size=(int(height), int(width)),
            num_classes=int(stated["num_classes"]),
            class_names=None if names is None else tuple(plain(name) for name in names),
            dataset=plain(stated["dataset"], 100),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise TriggerError(
            f"{plain(folder)}: what it was made for cannot be read: {plain(error, 120)}", _HINT
        ) from error
