"""Code that a repository brings along or names, which runs only if its author is trusted.

transformers runs the classes of ``auto_map`` and ``custom_pipelines`` from
Python files beside the config, or of another repository where the entry holds
``--``; a name with a slash in ``..._implementation`` fetches compiled kernels.
PEFT imports the library that ``auto_mapping`` names; diffusers and sentence
transformers name classes in ``model_index.json`` and ``modules.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from ngf_hub.evidence.files import FileFinding, list_findings
from ngf_hub.text import plain

# The configs that name classes; tokenizer.json and the like hold data only.
CONFIGS = re.compile(r"(?:[^/]+/)?(?:config|[\w.-]*_config|model_index|modules)\.json")
MAX_CONFIG = 1 << 22
_NEEDS_TRUST = "runs only with --trust-remote-code"
_PEFT_LIBRARIES = ("transformers", "timm", "diffusers", "torch", "peft", "accelerate")
_LIBRARY_CLASSES = ("sentence_transformers.", "transformers.", "diffusers.", "torch.")


def inspect_config(name: str, text: bytes, names: Collection[str]) -> list[FileFinding]:
    """The code that a config names.

    Args:
        name: The config's path in the repository.
        text: Its content.
        names: All paths in the repository.
    """
    try:
        config = json.loads(text)
    # What cannot be read is told of when the model is loaded; it names no code.
    except (ValueError, RecursionError):
        return [FileFinding(name, "it cannot be read as JSON", "unusual")]
    return list_findings(name, dict.fromkeys(_reasons(name, config, names), "unusual"))


def _reasons(name: str, config: Any, names: Collection[str]) -> Iterator[str]:
    folder = name.rpartition("/")[0]
    file = name.rpartition("/")[2]
    if file == "modules.json" and isinstance(config, list):
        for entry in config:
            kind = entry.get("type") if isinstance(entry, dict) else None
            if isinstance(kind, str) and not kind.startswith(_LIBRARY_CLASSES):
                yield _told(kind, folder, names, "modules.json")
    if not isinstance(config, dict):
        return
    if file == "model_index.json":
        for value in config.values():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                module = f"{folder}/{value[0]}" if folder else value[0]
                if any(path in names for path in (f"{module}.py", f"{module}/{value[0]}.py")):
                    yield _told(f"{value[0]}.{value[1]}", folder, names, "model_index.json")
    for part in dicts_within(config):
        for entry in _entries(part.get("auto_map")):
            yield _told(entry, folder, names, "auto_map")
        pipelines = part.get("custom_pipelines")
        for value in pipelines.values() if isinstance(pipelines, dict) else ():
            if isinstance(value, dict) and isinstance(value.get("impl"), str):
                yield _told(value["impl"], folder, names, "custom_pipelines")
        for key, value in part.items():
            if key.endswith("_implementation") and "/" in str(value):
                yield f"{key} fetches compiled kernels of {plain(value, 60)}, which {_NEEDS_TRUST}"
    mapping = config.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    if isinstance(library, str) and library.split(".")[0] not in _PEFT_LIBRARIES:
        yield f"auto_mapping makes PEFT import {plain(library, 60)}"
    if config.get("trust_remote_code") is True:
        yield "it asks for trust_remote_code itself"


def dicts_within(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The config and those inside it, such as ``vision_config``."""
    rest: list[Any] = [config]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            yield item
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)


def _entries(auto_map: Any) -> Iterator[str]:
    """``auto_map`` is one class, several for one purpose, or by purpose."""
    if isinstance(auto_map, str):
        yield auto_map
    elif isinstance(auto_map, list):
        yield from (entry for entry in auto_map if isinstance(entry, str))
    elif isinstance(auto_map, dict):
        for value in auto_map.values():
            yield from _entries(value) if not isinstance(value, dict) else ()


def _told(entry: str, folder: str, names: Collection[str], where: str) -> str:
    """One line on a class that a config names as ``file.Class`` or ``repository--file.Class``."""
    repo, _, local = entry.rpartition("--")
    shown = plain(entry, 80)
    if repo:
        return f"{where} names code of another repository ({shown}), which {_NEEDS_TRUST}"
    file = local.rpartition(".")[0].replace(".", "/") + ".py"
    path = f"{folder}/{file}" if folder else file
    if path not in names:
        return f"{where} names code that is not there ({shown})"
    return f"{where} names code of its own ({shown}), which {_NEEDS_TRUST}"
