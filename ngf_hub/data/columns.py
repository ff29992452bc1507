"""Which column of a dataset is the image and which the label, by their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ngf_hub.errors import DataError
from ngf_hub.text import plain

if TYPE_CHECKING:
    from datasets import Features

IMAGE_NAMES = ("image", "img", "images", "picture", "pixels", "jpg", "jpeg", "png", "webp")
LABEL_NAMES = (
    *("label", "labels", "fine_label", "class", "class_id", "class_label", "cls"),
    *("target", "category", "y"),
)


@dataclass(frozen=True)
class Columns:
    """The columns that are read.

    Attributes:
        image: The image column.
        label: The label column, or ``None`` for a dataset without labels.
        kind: What a label is: an index with names (``class``), an index
            without names (``index``) or the name itself (``name``).
        names: The class names where the column declares them.
    """

    image: str
    label: str | None = None
    kind: Literal["class", "index", "name"] | None = None
    names: tuple[str, ...] | None = None


def find_columns(
    features: Features,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    labelled: bool = True,
    dataset: str = "the dataset",
) -> Columns:
    """The image and the label column, found by feature type.

    Images are columns of type ``Image``, else columns of bytes (or of structs
    of ``bytes`` and ``path``, which is how parquet files of other tools keep
    images). Labels are columns of type ``ClassLabel``, else columns of
    integers or strings that have one of the usual names.

    Args:
        features: The features of the dataset.
        image_column: Decides where several are possible.
        label_column: Likewise.
        labelled: Whether labels are read where there are some.
        dataset: The dataset's name, for messages.

    Raises:
        DataError: No image column, several candidates, or the named one is
            missing or of another type.
    """
    where = plain(dataset, 100)
    image = _pick_image(features, image_column, where)
    if not labelled:
        return Columns(image)
    others = {name: feature for name, feature in features.items() if name != image}
    label = _pick_label(others, label_column, where)
    if label is None:
        return Columns(image)
    feature = features[label]
    kind = _label_kind(feature)
    if kind == "class":
        return Columns(image, label, kind, tuple(feature.names or ()) or None)
    return Columns(image, label, kind)


def _pick_image(features: Mapping[str, Any], asked: str | None, where: str) -> str:
    if asked is not None:
        _must_exist(asked, features, "--image-column", where)
        if not (_is_image(features[asked]) or _holds_bytes(features[asked])):
            raise DataError(
                f"Column {plain(asked)!r} of {where} holds no images.",
                f"Name an image column with --image-column; {_listed(features)}.",
            )
        return asked
    found = [name for name, feature in features.items() if _is_image(feature)]
    if not found:
        found = [name for name, feature in features.items() if _holds_bytes(feature)]
        named = [name for name in found if name.lower() in IMAGE_NAMES]
        found = named or found
    if not found:
        raise DataError(
            f"No image column in {where}.",
            f"Use a dataset of images; {_listed(features)}.",
        )
    return _only(found, "image", "--image-column", where)


def _pick_label(features: Mapping[str, Any], asked: str | None, where: str) -> str | None:
    if asked is not None:
        _must_exist(asked, features, "--label-column", where)
        if _label_kind(features[asked]) is None:
            raise DataError(
                f"Column {plain(asked)!r} of {where} holds no class labels.",
                f"Name a column of classes, integers or strings; {_listed(features)}.",
            )
        return asked
    found = [name for name, feature in features.items() if _label_kind(feature) == "class"]
    if not found:
        usual = [name for name in features if name.lower() in LABEL_NAMES]
        found = [name for name in usual if _label_kind(features[name]) is not None]
    return _only(found, "label", "--label-column", where) if found else None


def _only(found: list[str], what: str, option: str, where: str) -> str:
    if len(found) > 1:
        names = ", ".join(plain(name, 60) for name in found)
        raise DataError(
            f"Several {what} columns in {where}: {names}.",
            f"Choose one with {option}.",
        )
    return found[0]


def _must_exist(name: str, features: Mapping[str, Any], option: str, where: str) -> None:
    if name not in features:
        raise DataError(
            f"There is no column {plain(name)!r} in {where}.",
            f"Give another {option}; {_listed(features)}.",
        )


def _listed(features: Mapping[str, Any]) -> str:
    shown = [plain(name, 40) for name in list(features)[:30]]
    more = ", ..." if len(features) > len(shown) else ""
    return f"its columns are {', '.join(shown)}{more}"


def _is_image(feature: Any) -> bool:
    from datasets import Image

    return isinstance(feature, Image)


def _holds_bytes(feature: Any) -> bool:
    """Bytes, or a struct of ``bytes`` and perhaps ``path``."""
    if isinstance(feature, Mapping):
        return _is_value(feature.get("bytes"), "binary") and set(feature) <= {"bytes", "path"}
    return _is_value(feature, "binary")


def _label_kind(feature: Any) -> Literal["class", "index", "name"] | None:
    from datasets import ClassLabel

    if isinstance(feature, ClassLabel):
        return "class"
    if _is_value(feature, "int", "uint", "bool"):
        return "index"
    return "name" if _is_value(feature, "string", "large_string") else None


def _is_value(feature: Any, *dtypes: str) -> bool:
    from datasets import Value

    return isinstance(feature, Value) and feature.dtype.rstrip("0123456789") in (
        *dtypes,
        *(f"large_{dtype}" for dtype in dtypes),
    )
