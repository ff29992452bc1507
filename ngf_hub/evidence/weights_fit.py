"""Weights that do not fit their config, as far as headers tell.

This needs no more than the first bytes of each file. That every tensor has its
place in the network, and the other way round, is found out where it is known
exactly: the adapters refuse a model with a missing or misshapen tensor, and
note tensors of the file that the model does not use (:func:`from_loading`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ngf_hub.evidence.files import FileFinding
from ngf_hub.evidence.safetensors_header import Header
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.adapters import ModelSource

# Parts of names that timm, torchvision and transformers give to what makes the logits.
_HEADS = {
    *("classifier", "cls_classifier", "distillation_classifier", "fc", "final_layer", "head"),
    *("head_dist", "heads", "last_linear", "linear", "logits", "score"),
}


def check_fit(
    config: Mapping[str, Any], headers: Mapping[str, Header], index: Any = None
) -> list[FileFinding]:
    """What in the headers of a checkpoint contradicts its config.

    Args:
        config: The content of ``config.json``.
        headers: The header of each file of the checkpoint.
        index: The content of ``model.safetensors.index.json``, if there is one.
    """
    found = [FileFinding("config.json", reason, "unusual") for reason in _classes(config, headers)]
    if index is not None:
        file = "model.safetensors.index.json"
        found += [FileFinding(file, reason, "unusual") for reason in _index(index, headers)]
    return found


def from_loading(source: ModelSource) -> list[FileFinding]:
    """What the adapters noted of weights that the model does not use.

    Args:
        source: Where the loaded model came from.
    """
    file = next(iter(source.files), "config.json")
    return [
        FileFinding(plain(file, 160), plain(note), "unusual")
        for note in source.notes
        if "not used by the model" in note
    ]


def _classes(config: Mapping[str, Any], headers: Mapping[str, Header]) -> Iterator[str]:
    """The number of classes, as the config and the shapes state it."""
    pretrained = config.get("pretrained_cfg")
    pretrained = pretrained if isinstance(pretrained, dict) else {}
    arguments = config.get("model_args")
    arguments = arguments if isinstance(arguments, dict) else {}
    counts = [
        value
        for value in (
            arguments.get("num_classes"),
            config.get("num_classes"),
            pretrained.get("num_classes"),
            len(config["id2label"]) if isinstance(config.get("id2label"), dict) else None,
            config.get("num_labels"),
        )
        if type(value) is int and value > 0
    ]
    names = config.get("label_names")
    if not counts:
        return
    count = counts[0]
    if isinstance(names, (list, dict)) and len(names) != count:
        yield f"it has {len(names)} class names for {count} classes"
    # timm keeps a background class in front of the others in some files.
    offset = pretrained.get("label_offset")
    rows = {count, count + offset} if type(offset) is int else {count}
    shapes = {n: i.shape for header in headers.values() for n, i in header.tensors.items()}
    heads = {name: shape for name, shape in shapes.items() if _HEADS & set(name.split("."))}
    if shapes and not any(set(shape[:1]) & rows for shape in (heads or shapes).values()):
        yield f"it states {count} classes, and no head among the weights has {count} rows"


def _index(index: Any, headers: Mapping[str, Header]) -> Iterator[str]:
    """Where an index and the files that it names contradict each other."""
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict):
        return
    named = [(n, headers[f]) for n, f in places.items() if isinstance(f, str) and f in headers]
    lost = [name for name, header in named if name not in header.tensors]
    if lost:
        yield f"{len(lost)} tensors are not in the file that it names, first {plain(lost[0], 60)}"
    stray = [n for f, h in headers.items() for n in h.tensors if places.get(n) != f]
    if stray:
        yield f"{len(stray)} tensors of the files are not in it, first {plain(stray[0], 60)}"
