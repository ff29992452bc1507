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
- ``load``: the above together; ``unlabelled``: the same for images whose labels do not matter.
- ``images``, ``picture``: encoded images with labels; decoding one safely.
- ``pixels``: what models read; ``convert``, ``given``: from images to that.
- ``classes``, ``wordnet``: classes of the data matched to those of the model.

Names are loaded when they are first used, so that importing this package does
not wait for PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ngf_hub.lazy import lazy_names

if TYPE_CHECKING:
    from ngf_hub.data.classes import ClassMatch, match_classes
    from ngf_hub.data.convert import to_pixels
    from ngf_hub.data.given import as_pixels
    from ngf_hub.data.images import ImageSet
    from ngf_hub.data.known import KNOWN
    from ngf_hub.data.load import CleanImages, load_images
    from ngf_hub.data.pixels import PixelSet
    from ngf_hub.data.unlabelled import load_unlabelled

_HOMES = {
    "KNOWN": "ngf_hub.data.known",
    "ClassMatch": "ngf_hub.data.classes",
    "CleanImages": "ngf_hub.data.load",
    "ImageSet": "ngf_hub.data.images",
    "PixelSet": "ngf_hub.data.pixels",
    "as_pixels": "ngf_hub.data.given",
    "load_images": "ngf_hub.data.load",
    "load_unlabelled": "ngf_hub.data.unlabelled",
    "match_classes": "ngf_hub.data.classes",
    "to_pixels": "ngf_hub.data.convert",
}

__all__ = [
    "KNOWN",
    "ClassMatch",
    "CleanImages",
    "ImageSet",
    "PixelSet",
    "as_pixels",
    "load_images",
    "load_unlabelled",
    "match_classes",
    "to_pixels",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
