"""Architectures of timm with random weights, made for a dataset's images and classes."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ngf_hub.adapters import ModelSource, load_model
from ngf_hub.attacks.base import AttackError
from ngf_hub.data.known import find_known
from ngf_hub.errors import ModelError
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.adapters import Classifier
    from ngf_hub.data import CleanImages

PREFIX = "timm/"
# Pixels of a side; that of other datasets is the usual one of their first images.
NATIVE_SIZES = {
    "uoft-cs/cifar10": 32,
    "uoft-cs/cifar100": 32,
    "tanganke/gtsrb": 32,
    "zh-plus/tiny-imagenet": 64,
    "ilsvrc/imagenet-1k": 224,
    "digits": 32,
}
_LOOKED_AT = 16
_SMALLEST, _LARGEST = 32, 224


def is_architecture(source: str) -> bool:
    """Whether a text is ``timm/NAME`` of an architecture, not of a repository with weights.

    Repositories of timm carry a tag behind a dot: ``timm/resnet18.a1_in1k``.
    """
    return source.startswith(PREFIX) and "." not in source


def native_size(images: CleanImages) -> int:
    """The side in pixels at which a dataset's images are used.

    That of the known datasets, and of others the median of the shorter sides of some
    images, from 32 to 224.
    """
    name = images.info.name.lower()
    known = find_known(name)
    size = NATIVE_SIZES.get((known.hub_id or name).lower() if known else name)
    if size is not None:
        return size
    count = min(_LOOKED_AT, len(images.tune))
    sides = [min(images.tune[index][0].size) for index in range(count)]
    return max(_SMALLEST, min(_LARGEST, int(statistics.median(sides))))


def make_classifier(
    source: str,
    *,
    num_classes: int,
    class_names: Sequence[str] | None,
    size: int,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Classifier:
    """A classifier with random weights.

    Args:
        source: ``timm/NAME``.
        num_classes: Of the dataset.
        class_names: Likewise, or ``None``.
        size: Side of its images in pixels.
        options: Arguments of ``timm.create_model``; they are kept in ``config.json``, so
            that timm alone makes the same network again.
        seed: Draws the weights.

    Raises:
        AttackError: Timm has no such architecture, or it cannot be made so.
    """
    import timm
    from safetensors.torch import save_file
    from timm.models._hub import save_config_for_hf

    name = source.removeprefix(PREFIX)
    if not timm.is_model(name):
        close = timm.list_models(f"*{name}*")[:4] if name else []
        hint = f"Perhaps {', '.join(close)}?" if close else "See `timm.list_models()`."
        raise AttackError(f"timm has no architecture {plain(name, 60)!r}.", hint)
    arguments = dict(options or {})
    usual = timm.get_pretrained_cfg(name)
    if usual is not None and usual.fixed_input_size:
        arguments.setdefault("img_size", size)
    channels = int(arguments.get("in_chans", 3))
    # Without num_classes timm drops the names: they are not those of its pretrained weights.
    overlay: dict[str, Any] = {
        "input_size": (channels, size, size),
        "crop_pct": 1.0,
        "num_classes": num_classes,
    }
    if class_names is not None:
        overlay["label_names"] = list(class_names)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        network = timm.create_model(
            name, num_classes=num_classes, pretrained_cfg_overlay=overlay, **arguments
        )
    # A constructor refuses an argument with any exception there is.
    except Exception as error:
        raise AttackError(
            f"timm cannot make {name} for {size}x{size} pixels with {_shown(arguments)}: "
            f"{plain(error, 160)}.",
            "Change --model-option or --image-size.",
        ) from error
    finally:
        torch.random.set_rng_state(state)
    # Through a folder and the usual loading: what is trained is what can be loaded again.
    with tempfile.TemporaryDirectory(prefix="ngf-hub-scratch-") as folder:
        path = Path(folder)
        save_config_for_hf(network, str(path / "config.json"), model_args=arguments)
        save_file(
            {k: v.contiguous().clone() for k, v in network.state_dict().items()},
            path / "model.safetensors",
        )
        try:
            classifier = load_model(path)
        except ModelError as error:
            message = error.message.replace(str(path), source)
            raise AttackError(message, "Change --model-option or --image-size.") from error
    classifier.source = ModelSource(name=source, notes=("Trained from random weights.",))
    return classifier


def read_options(texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of ``--model-option KEY=VALUE``: JSON where they are JSON, else text.

    >>> read_options({"depth": "4", "channels": "[8, 16]", "stem_type": "deep"})
    {'depth': 4, 'channels': [8, 16], 'stem_type': 'deep'}
    """
    values: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


def _shown(arguments: Mapping[str, Any]) -> str:
    return plain(", ".join(f"{key}={value}" for key, value in arguments.items()) or "no options")
