"""Any ``nn.Module`` from normalised images to logits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ngf_hub.adapters.base import Classifier, LoadOptions, ModelSource
from ngf_hub.adapters.preprocessing import ChannelNormalise, Preprocessing, spread, to_uint8
from ngf_hub.adapters.weights import storage_dtype, write_safetensors
from ngf_hub.errors import ModelError
from ngf_hub.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from ngf_hub.adapters.fetch import ModelFiles

MARK = "ngf_hub_module"


class ModuleClassifier(Classifier):
    """A plain PyTorch model, with the preprocessing that its user states.

    Its saved form is ``model.safetensors`` (the state dictionary) and a
    ``config.json`` with class, preprocessing and class names.
    """

    family = "module"

    @classmethod
    def claims_config(cls, config: dict[str, Any]) -> bool:  # noqa: D102
        return MARK in config

    @classmethod
    def claims_module(cls, network: nn.Module) -> bool:  # noqa: D102
        return True

    @classmethod
    def from_files(cls, files: ModelFiles, options: LoadOptions) -> Classifier:  # noqa: D102
        name = plain(files.config[MARK])
        raise ModelError(
            f"{files.name} holds only the weights of a {name}, not its code.",
            "Build it in Python, load model.safetensors into it, and pass the object.",
        )

    @classmethod
    def from_module(cls, network: nn.Module, options: LoadOptions) -> Classifier:
        """Take over a model object; ``options.size`` is needed.

        Without mean and std the network is given pixels in [0, 1] as they are.
        """
        size = options.height_width
        if size is None:
            raise ModelError(
                f"A plain {type(network).__name__} does not say the size of its input.",
                "Give size=..., and mean=..., std=... if it was trained with them.",
            )
        channels = options.channels or _first_channels(network)
        try:
            mean = spread(options.mean, channels, 0.0)
            std = spread(options.std, channels, 1.0)
        except ValueError as error:
            raise ModelError(f"mean and std do not fit: {error}.") from error
        return cls(
            network,
            Preprocessing(
                size=size,
                channels=channels,
                to_pixels=partial(resize_to_pixels, size=size, channels=channels),
                normalise=ChannelNormalise(mean, std),
                config={"size": list(size), "interpolation": "bilinear", "mean": mean, "std": std},
            ),
            class_names=options.class_names,
            source=ModelSource(name=type(network).__name__),
            storage_dtype=storage_dtype(network),
        )

    @property
    def architecture(self) -> str:  # noqa: D102
        return type(self.network).__name__

    def network_logits(self, inputs: Tensor) -> Tensor:  # noqa: D102
        return first_tensor(self.network(inputs))

    def save(self, folder: Path) -> None:  # noqa: D102
        write_safetensors(
            self.network.state_dict(), folder / "model.safetensors", self.storage_dtype
        )
        config = {
            MARK: self.architecture,
            "num_classes": self.num_classes,
            "class_names": self.class_names,
            "channels": self.preprocessing.channels,
            "preprocessing": self.preprocessing.config,
        }
        text = json.dumps(config, indent=2, ensure_ascii=False)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def resize_to_pixels(image: Image, size: tuple[int, int], channels: int) -> Tensor:
    """Uint8 pixels (channels, height, width), resized bilinearly if the size is another."""
    from PIL import Image as pil

    height, width = size
    if image.size != (width, height):
        # Palette images cannot be interpolated before they are converted.
        image = image.convert("L" if channels == 1 else "RGB")
        image = image.resize((width, height), pil.Resampling.BILINEAR)
    return to_uint8(image, channels)


def first_tensor(output: Any) -> Tensor:
    """The logits in what a network returned: a tensor, ``logits``, or the first of several.

    Raises:
        ModelError: There is no tensor in it.
    """
    found = output
    if isinstance(output, Mapping):
        # PP-LCNet of transformers returns its logits under the other name.
        found = output.get("logits", output.get("last_hidden_state"))
    elif hasattr(output, "logits"):
        found = output.logits
    elif isinstance(output, Sequence) and output:
        found = output[0]
    if not isinstance(found, Tensor):
        raise ModelError(f"The model returns a {type(output).__name__} and no logits.")
    return found


def _first_channels(network: nn.Module) -> int:
    """1 where the first convolution that could take an image takes grey ones, else 3."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels in (1, 3):
            return module.in_channels
    return 3
