"""What a Keras model would run when it is loaded, read off its config without Keras.

A ``.keras`` file is a zip archive with a ``config.json``; a legacy ``.h5`` file
holds the same text in an attribute ``model_config``, which HDF5 never
compresses, so that it is found as it stands. A ``Lambda`` layer carries
bytecode. Keras 3 also imports whatever module and class a config names
(CVE-2025-1550, CVE-2025-8747, CVE-2025-9906).
"""

from __future__ import annotations

import builtins
import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ngf_hub.evidence.files import FileFinding, Severity, list_findings
from ngf_hub.evidence.pickle_names import danger
from ngf_hub.evidence.pickle_parts import Name
from ngf_hub.evidence.zip_layout import ZIP_MAGIC, ZipLayoutError, open_members
from ngf_hub.text import plain

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_CONFIG = 1 << 25
_MAX_SEARCHED = 1 << 27
_OWN = re.compile(r"(?:keras|tf_keras|keras_(?:hub|cv|nlp|core)|tensorflow)(?:\.[\w.]+)?")
# Where Keras keeps the functions that a config may name: activations, losses and the like.
_FUNCTIONS = re.compile(
    r"(?:tf_)?keras(?:\.src)?\.(?:activations|losses|metrics|initializers|regularizers"
    r"|constraints|ops|dtype_policies)(?:\.\w+)*"
)
_TEXT = re.compile(
    rb'\{\s*"(?:class_name"|module"|config"|name"|registered_name"|[^"\0]{0,60}\\u00)'
)
_ESCAPE = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_LAMBDA = re.compile(rb'"class_name"\s*:\s*"Lambda"')
_BYTECODE = re.compile(r"[A-Za-z0-9+/=\s]{32,}")


def inspect_keras(path: Path, *, name: str | None = None) -> list[FileFinding]:
    """What is to be said of a ``.keras`` or ``.h5`` file.

    Args:
        path: The file.
        name: What to call it; its own name if left out.
    """
    file = name or path.name
    if not path.stat().st_size:
        return [FileFinding(file, "it is empty", "unusual")]
    try:
        found = _look(path)
    # The scanner meets hostile input: whatever it trips over is a finding.
    except Exception as error:
        found = {f"it cannot be scanned ({type(error).__name__})": "dangerous"}
    return list_findings(file, found)


def _look(path: Path) -> dict[str, Severity]:
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[: len(ZIP_MAGIC)] == ZIP_MAGIC:
            return dict(_zip(data))
        if data[: len(HDF5_MAGIC)] == HDF5_MAGIC:
            return dict(_hdf5(data))
    return {"it is neither a Keras archive nor an HDF5 file": "unusual"}


def _zip(data: mmap.mmap) -> Iterator[tuple[str, Severity]]:
    try:
        members = open_members(data)
        configs = [member for member in members if member.name == "config.json"]
        if len(configs) != 1:
            yield f"it holds {len(configs)} config.json instead of one", "dangerous"
        for member in configs:
            if member.info.file_size > _MAX_CONFIG:
                yield "its config.json is too long to be looked into", "not scanned"
                continue
            yield from _text(member.head(member.info.file_size))
    except ZipLayoutError as error:
        yield str(error), "dangerous"


def _hdf5(data: mmap.mmap) -> Iterator[tuple[str, Severity]]:
    """Every JSON text in the file that looks like the config of a layer or model."""
    at = searched = 0
    while (match := _TEXT.search(data, at)) is not None:
        at = match.start()
        end = data.find(b"\0", at, at + _MAX_CONFIG)
        text = data[at : end if end > 0 else at + _MAX_CONFIG]
        searched += len(text)
        if searched > _MAX_SEARCHED:
            yield "it holds too much text to be looked through", "not scanned"
            return
        config, length = _decode(text)
        if length == 0:
            # Cut or odd text: at least its plainest form is searched for.
            yield from _raw(text)
            length = len(match[0])
        else:
            yield from _walk(config)
        at += length


def _text(text: bytes) -> Iterator[tuple[str, Severity]]:
    config, length = _decode(text)
    if length == 0:
        yield "its config.json cannot be read", "dangerous"
        yield from _raw(text)
    else:
        yield from _walk(config)


def _decode(text: bytes) -> tuple[Any, int]:
    """The JSON value at the start of a text and its length, which is 0 if there is none."""
    try:
        decoded = text.decode("utf-8", "surrogateescape")
        value, end = json.JSONDecoder().raw_decode(decoded)
        return value, len(decoded[:end].encode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None, 0


def _raw(text: bytes) -> Iterator[tuple[str, Severity]]:
    plain_text = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text)
    if _LAMBDA.search(plain_text):
        yield "it has a Lambda layer, which runs code of its own", "dangerous"


def _walk(config: Any) -> Iterator[tuple[str, Severity]]:
    """Every object that a config describes, layers within layers."""
    rest = [config]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str):
                yield from _object(item)
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)


def _object(item: dict[str, Any]) -> Iterator[tuple[str, Severity]]:
    kind, module, config = item["class_name"], item.get("module"), item.get("config")
    called = plain(config.get("name", "") if isinstance(config, dict) else config, 40)
    if kind == "__lambda__":
        yield "it holds a function as bytecode", "dangerous"
    elif kind == "Lambda" and _has_bytecode(config):
        yield f"it has a Lambda layer ({called}), which runs bytecode of its own", "dangerous"
    elif kind == "Lambda":
        yield f"it has a Lambda layer ({called}), which calls a function by name", "unusual"
    elif kind in ("TFOpLambda", "SlicingOpLambda"):
        yield f"it calls a function of TensorFlow by name ({called})", "unusual"
    if isinstance(module, str):
        yield from _global(module, config if kind == "function" else kind, kind == "function")
    # PACKAGE>CLASS, which legacy files give as the class's name.
    named = (item.get("registered_name"), kind)
    registered = next((name for name in named if isinstance(name, str) and ">" in name), None)
    if registered is not None and "keras" not in registered.lower():
        yield f"it needs the custom object {plain(registered, 60)}", "unusual"


def _global(module: str, attribute: Any, function: bool) -> Iterator[tuple[str, Severity]]:
    """What is to be said of a class or function that a config names by its module."""
    name = Name(module, str(attribute))
    shown = plain(name, 80)
    if module == "builtins":
        # So Keras also writes functions that are to be looked up by their name alone.
        if hasattr(builtins, name.name) and danger(name):
            yield f"it names {shown}", "dangerous"
    elif _OWN.fullmatch(module):
        if function and not _FUNCTIONS.fullmatch(module):
            severity: Severity = "dangerous" if danger(name) else "unusual"
            yield f"it names the function {shown}, which does more than compute", severity
    elif danger(name):
        yield f"loading it would import {shown}", "dangerous"
    else:
        yield f"loading it would import {shown}, which is no part of Keras", "unusual"


def _has_bytecode(config: Any) -> bool:
    """Whether a Lambda layer's config holds its function as marshalled code, in base64."""
    if not isinstance(config, dict):
        return False
    function = config.get("function")
    if isinstance(function, dict):
        return function.get("class_name") == "__lambda__"
    if isinstance(function, list):
        function = function[0] if function else None
    return isinstance(function, str) and _BYTECODE.fullmatch(function) is not None
