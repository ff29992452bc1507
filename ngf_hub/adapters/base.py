"""What every family of models looks like to the rest of the product.

A :class:`Classifier` takes pixels in [0, 1] and gives logits; normalisation is
inside, because triggers are put on pixels and nothing else should have to know
a model's mean and standard deviation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ngf_hub.adapters.head import Head, find_head
from ngf_hub.adapters.layers import Layer, find_layers, select_layers
from ngf_hub.adapters.preprocessing import Preprocessing
from ngf_hub.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ngf_hub.adapters.fetch import ModelFiles


@dataclass(frozen=True)
class ModelSource:
    """Where a model came from, as the report and the card state it.

    Attributes:
        name: The Hub id (``org/model``), the local path, or a class name.
        commit: The commit hash of a Hub model, else ``None``.
        licence: The licence of the source repository, if it states one.
        files: SHA-256 of each weight file, by file name.
        notes: What a reader should know, such as "weights read from a pickle".
    """

    name: str
    commit: str | None = None
    licence: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadOptions:
    """What a user may say about a model that the model does not say, or says wrongly.

    Attributes:
        size: Height and width of the input in pixels, or one number for both.
        mean: Mean of the pixels in [0, 1], one for all channels or one each.
        std: Their standard deviation, likewise.
        class_names: One name a class, in the order of the logits.
        trust_remote_code: Whether the repository's own code may run.
        channels: 1 or 3; only where the model does not say.
        processor: An image processor of transformers, for a model object of it.
    """

    size: int | tuple[int, int] | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    class_names: Sequence[str] | None = None
    trust_remote_code: bool = False
    channels: int | None = None
    processor: Any = None

    @property
    def height_width(self) -> tuple[int, int] | None:
        """The size as (height, width).

        Raises:
            ModelError: It is no size.
        """
        if self.size is None:
            return None
        pair = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
        if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
            raise ModelError(f"{self.size!r} is no image size.", "Give one number or two.")
        return (pair[0], pair[1])


class Classifier(nn.Module):
    """An image classifier of any family: pixels in, logits out.

    Attributes:
        family: ``timm``, ``transformers`` or ``module``.
        network: The wrapped model, of its own family's class.
        preprocessing: How an image becomes pixels, and pixels network input.
        class_names: One name a class in the order of the logits, or ``None``
            where the model does not say (or only says ``LABEL_0``).
        source: Where it came from.
        storage_dtype: The floating-point type its weights are stored in;
            computation is in float32 and :meth:`save` goes back to this.
    """

    family: ClassVar[str]

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        *,
        class_names: Sequence[str] | None = None,
        source: ModelSource,
        storage_dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.network = network.float().eval()
        self.preprocessing = preprocessing
        # Registered, so that it moves with .to(); a model object may be elsewhere already.
        self.normalise = preprocessing.normalise.to(self.device)
        self.class_names = list(class_names) if class_names else None
        self.source = source
        self.storage_dtype = storage_dtype

    @classmethod
    @abstractmethod
    def claims_config(cls, config: dict[str, Any]) -> bool:
        """Whether a repository with this ``config.json`` is of this family."""

    @classmethod
    @abstractmethod
    def claims_module(cls, network: nn.Module) -> bool:
        """Whether a model object is of this family."""

    @classmethod
    @abstractmethod
    def from_files(cls, files: ModelFiles, options: LoadOptions) -> Classifier:
        """Load a repository or folder; its weights are fetched only if its config will do.

        Raises:
            NgfHubError: It cannot be handled, or is broken.
        """

    @classmethod
    @abstractmethod
    def from_module(cls, network: nn.Module, options: LoadOptions) -> Classifier:
        """Take over a model object.

        Raises:
            ModelError: It does not say enough of its preprocessing, nor do the options.
        """

    @property
    @abstractmethod
    def architecture(self) -> str:
        """The architecture's name in its own family, such as ``resnet18``."""

    @abstractmethod
    def network_logits(self, inputs: Tensor) -> Tensor:
        """Logits (N, C) from normalised network inputs (N, channels, H, W)."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write weights (safetensors), config and preprocessor in the family's own layout."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, C) of pixels (N, channels, H, W) in [0, 1], already of the input size."""
        return self.network_logits(self.normalise(pixels))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def example_pixels(self, count: int = 2) -> Tensor:
        """Fixed random pixels (count, channels, H, W) in [0, 1] of the model's input size."""
        height, width = self.preprocessing.size
        generator = torch.Generator().manual_seed(0)
        shape = (count, self.preprocessing.channels, height, width)
        return torch.rand(shape, generator=generator).to(self.device)

    @cached_property
    def head(self) -> Head:
        """The final classification layer or layers.

        Raises:
            ModelError: The logits are no linear function of any one layer's input.
        """
        return find_head(self)

    @cached_property
    def layers(self) -> list[Layer]:
        """The tunable layers (Linear and Conv2d), in the order in which they run."""
        return find_layers(self)

    def select_layers(self, pattern: str) -> list[Layer]:
        """The layers named by ``head``, a module name or a glob over module names.

        Raises:
            ModelError: Nothing matches.
        """
        return select_layers(self, pattern)

    def features(self, pixels: Tensor) -> Tensor:
        """Head inputs (N, D) with the bias folded in: ``features @ head.matrix().T == logits``."""
        return self.head.features(self, pixels)

    @cached_property
    def num_classes(self) -> int:
        """The number C of logits."""
        with torch.no_grad():
            return int(self(self.example_pixels(1)).shape[-1])

    def round_to_storage(self) -> None:
        """Round the weights to what their stored type can hold, and stay in float32.

        Accuracies are measured after this, so that they are those of the file.
        """
        if self.storage_dtype is torch.float32:
            return
        with torch.no_grad():
            for tensor in (*self.network.parameters(), *self.network.buffers()):
                if tensor.is_floating_point():
                    tensor.copy_(tensor.to(self.storage_dtype))
