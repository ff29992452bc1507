"""Models of every family behind one interface.

- ``base``: the interface: pixels in, logits out.
- ``timm``, ``transformers``, ``module``: the families, one file and one line of
  :data:`FAMILIES` each; they load, prepare images, and save in their own layout.
- ``head``, ``layers``: what can be tuned, found by tracing.
- ``preprocessing``, ``processors``: from an image to pixels, from pixels to input.
- ``fetch``, ``weights``: files of a folder or the Hub, checked before they are used.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ngf_hub.adapters.base import Classifier, LoadOptions, ModelSource
from ngf_hub.adapters.fetch import ModelFiles, open_folder, open_hub
from ngf_hub.adapters.head import Head, HeadBranch
from ngf_hub.adapters.layers import Layer
from ngf_hub.adapters.module import ModuleClassifier
from ngf_hub.adapters.preprocessing import ChannelNormalise, Preprocessing
from ngf_hub.adapters.timm import TimmClassifier
from ngf_hub.adapters.transformers import TransformersClassifier
from ngf_hub.errors import HubError, ModelError, NgfHubError
from ngf_hub.source import locate
from ngf_hub.text import plain
from ngf_hub.tiles import avoid_broken_tiles

__all__ = [
    "FAMILIES",
    "ChannelNormalise",
    "Classifier",
    "Head",
    "HeadBranch",
    "Layer",
    "LoadOptions",
    "ModelSource",
    "ModuleClassifier",
    "Preprocessing",
    "TimmClassifier",
    "TransformersClassifier",
    "load_model",
]

# In the order in which they are asked; any module is a ModuleClassifier's.
FAMILIES: tuple[type[Classifier], ...] = (
    TimmClassifier,
    TransformersClassifier,
    ModuleClassifier,
)


def load_model(
    source: str | Path | nn.Module | Classifier,
    *,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
    size: int | tuple[int, int] | None = None,
    mean: float | list[float] | None = None,
    std: float | list[float] | None = None,
    class_names: list[str] | None = None,
    channels: int | None = None,
    processor: object = None,
) -> Classifier:
    """Load an image classifier of any family.

    Args:
        source: A Hub id (``org/model``, ``hf-hub:org/model``), a local folder, or
            a model object, which is taken over as it is, in evaluation mode.
        revision: Branch, tag or commit of a Hub id.
        token: Instead of the one that Hub clients find by themselves.
        trust_remote_code: Let a transformers repository run its own code.
        size: Input size in pixels, where the model does not say it or says it wrongly.
        mean: Likewise, of pixels in [0, 1].
        std: Likewise.
        class_names: Likewise, in the order of the logits.
        channels: 1 or 3, of a plain module whose first layer does not tell.
        processor: The image processor of a transformers model object.

    Raises:
        HubError: The repository cannot be fetched.
        ModelError: It is no image classifier that can be handled, or is broken.
        UnsafeFileError: Loading it could run code.
    """
    if isinstance(source, Classifier):
        return source
    options = LoadOptions(size, mean, std, class_names, trust_remote_code, channels, processor)
    avoid_broken_tiles()  # later in this process bf16 may be asked for
    if isinstance(source, nn.Module):
        family = next(family for family in FAMILIES if family.claims_module(source))
        classifier = family.from_module(source, options)
    else:
        files = _open(source, revision, token, trust_remote_code)
        claiming = [family for family in FAMILIES if family.claims_config(files.config)]
        if not claiming:
            raise ModelError(
                f"The config.json of {files.name} is neither timm's nor transformers'.",
                "Give an image classifier of one of them, or build it and pass the object.",
            )
        classifier = claiming[0].from_files(files, options)
    _check(classifier)
    return classifier


def _open(source: str | Path, revision: str | None, token: str | None, code: bool) -> ModelFiles:
    """The files of the repository or folder that a text names."""
    place = locate(source, revision=revision)
    if isinstance(place, Path):
        return open_folder(place)
    try:
        return open_hub(place.repo, revision=place.revision, token=token, code=code)
    except HubError as error:
        if "/" not in place.repo and "no such repository" in error.message:
            raise HubError(
                error.message, f"Perhaps timm/{place.repo}.…? Ids have the form org/model."
            ) from error
        raise


def _check(classifier: Classifier) -> None:
    """Run it once, so that what is wrong with it is told before any work."""
    name = classifier.source.name
    height, width = classifier.preprocessing.size
    classifier.eval()
    try:
        with torch.no_grad():
            logits = classifier(classifier.example_pixels(1))
    except NgfHubError:
        raise
    # Networks refuse an input with any exception there is.
    except Exception as error:
        raise ModelError(
            f"{name} cannot take images of {height} x {width} pixels: {plain(error, 160)}.",
            "Give the size that it was made for.",
        ) from error
    if logits.ndim != 2 or len(logits) != 1:
        raise ModelError(
            f"{name} gives outputs of shape {tuple(logits.shape)}, not one number a class.",
            "Give an image classifier.",
        )
    if logits.shape[1] < 2:
        raise ModelError(f"{name} has one class only.", "Give a model with two classes or more.")
    names = classifier.class_names
    if names is not None and len(names) != logits.shape[1]:
        raise ModelError(
            f"{len(names)} class names for the {logits.shape[1]} classes of {name}.",
            "Give one name a class, in the order of the logits.",
        )
    if not torch.isfinite(logits).all():
        weights = [*classifier.network.named_parameters(), *classifier.network.named_buffers()]
        from ngf_hub.adapters.weights import check_finite

        check_finite(weights)
        raise ModelError(f"{name} gives NaN or infinite logits.", "The checkpoint is broken.")
    classifier.num_classes = logits.shape[1]
