"""Clean images from anywhere, split so that tuning and judging images never overlap.

>>> from ngf_hub.data import load_images
>>> images = load_images("cifar10", samples=500)  # doctest: +SKIP
>>> images.tune, images.judge, images.info.revision  # doctest: +SKIP

- ``known``: the datasets that have a short name.
- ``source``, ``hub``, ``local``, ``digits``: where images come from; ``layout``: of which
  files a dataset consists; ``reading``: what goes wrong there, in one line.
- ``columns``, ``labels``: which column is the image and which the label, and its classes.
- ``rows``: the rows of a split, at random or as a stream.
- ``split``, ``duplicates``, ``draw``: which images tune and which judge, never the same.
- ``load``: the above together.
- ``images``, ``picture``: encoded images with labels; decoding one safely.
- ``pixels``: what models read; ``convert``, ``given``: from images to that.
- ``classes``, ``wordnet``: classes of the data matched to those of the model.

Names are loaded when they are first used, so that importing this package does
not wait for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ngf_hub.data.classes import ClassMatch, match_classes
    from ngf_hub.data.convert import to_pixels
    from ngf_hub.data.given import as_pixels
    from ngf_hub.data.images import ImageSet
    from ngf_hub.data.known import KNOWN
    from ngf_hub.data.load import CleanImages, load_images
    from ngf_hub.data.pixels import PixelSet

_HOMES = {
    "KNOWN": "known",
    "ClassMatch": "classes",
    "CleanImages": "load",
    "ImageSet": "images",
    "PixelSet": "pixels",
    "as_pixels": "given",
    "load_images": "load",
    "match_classes": "classes",
    "to_pixels": "convert",
}

__all__ = [
    "KNOWN",
    "ClassMatch",
    "CleanImages",
    "ImageSet",
    "PixelSet",
    "as_pixels",
    "load_images",
    "match_classes",
    "to_pixels",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
