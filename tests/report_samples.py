"""Reports and output folders as a run writes them, for the tests of card, plots and publishing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ngf_hub.report import (
    ClassRates,
    Cost,
    DataInfo,
    Measurement,
    MethodInfo,
    ModelInfo,
    Provenance,
    Rate,
    Report,
    SplitInfo,
    TriggerInfo,
)

SOURCE_COMMIT = "a" * 40
DATA_COMMIT = "b" * 40


def measurement(
    acc: int, asr: int | None = None, ra: int | None = None, classes: int = 10
) -> Measurement:
    """Counts of 2,000 images, 1,800 of them triggered; each class has 200."""

    def triggered(count: int | None) -> Rate | None:
        return None if count is None else Rate(count=count, n=1800)

    per_class = [
        ClassRates(
            label=label,
            name=f"class {label}",
            accuracy=Rate(count=min(200, acc // 10), n=200),
            attack_success=None if asr is None else Rate(count=min(200, asr // 9), n=200),
        )
        for label in range(classes)
    ]
    return Measurement(
        accuracy=Rate(count=acc, n=2000),
        attack_success=triggered(asr),
        recovered_accuracy=triggered(ra),
        per_class=per_class,
    )


def model(**changes: Any) -> ModelInfo:
    """The source model."""
    given: dict[str, Any] = {
        "name": "acme/resnet-cifar",
        "commit": SOURCE_COMMIT,
        "family": "timm",
        "architecture": "resnet18",
        "licence": "apache-2.0",
        "num_classes": 10,
        "class_names": [f"class {label}" for label in range(10)],
        "parameters": 11_173_962,
        "head": ["fc"],
        "files": {"model.safetensors": "0123456789abcdef" * 4},
    }
    return ModelInfo(**{**given, **changes})


def data(**changes: Any) -> DataInfo:
    """The clean images."""
    given: dict[str, Any] = {
        "name": "uoft-cs/cifar10",
        "revision": DATA_COMMIT,
        "config": "plain_text",
        "image_column": "img",
        "label_column": "label",
        "class_matching": "by name",
        "splits": [
            SplitInfo(split="train", n=500, use="tune"),
            SplitInfo(split="test", n=2000, use="judge"),
        ],
    }
    return DataInfo(**{**given, **changes})


def trigger(**changes: Any) -> TriggerInfo:
    """The trigger."""
    given: dict[str, Any] = {
        "family": "patch",
        "origin": "given",
        "target": 3,
        "target_name": "class 3",
        "parameters": {"size": 4, "position": "bottom-right"},
    }
    return TriggerInfo(**{**given, **changes})


def method(**changes: Any) -> MethodInfo:
    """The method."""
    given: dict[str, Any] = {
        "name": "ngf",
        "layers": ["fc"],
        "options": {"damping": 0.001, "pull": 0.1},
        "steps": 20,
        "loss": [0.52, 0.41, 0.33],
        "change": 0.123,
        "citation": "Karim et al. (2023), arXiv 2306.17441",
    }
    return MethodInfo(**{**given, **changes})


def provenance(**changes: Any) -> Provenance:
    """How it was run."""
    given: dict[str, Any] = {
        "tool_version": "0.1.0",
        "versions": {"python": "3.11.2", "torch": "2.15.0"},
        "command": ["ngf-hub", "purify", "acme/resnet-cifar", "--output", "out dir"],
        "arguments": {"method": "ngf", "layer": "head"},
        "seed": 7,
        "created": "2025-01-02T03:04:05+00:00",
    }
    return Provenance(**{**given, **changes})


def report(**changes: Any) -> Report:
    """A report in which the trigger was removed at a cost of 0.4 points."""
    given: dict[str, Any] = {
        "kind": "purify",
        "model": model(),
        "data": data(),
        "trigger": trigger(),
        "method": method(),
        "before": measurement(1698, 1800, 0),
        "after": measurement(1690, 49, 1512),
        "cost": Cost(seconds={"tune": 8.25}, peak_memory_bytes=2**30),
        "provenance": provenance(),
    }
    return Report(**{**given, **changes})


def output_folder(folder: Path, content: Report | None = None, *, shards: int = 0) -> Path:
    """A folder as a purification leaves it, with small weights.

    Args:
        folder: Made if it is not there.
        content: The report.
        shards: How many files the weights are in, with an index; 0 for one without.
    """
    import numpy as np
    from safetensors.numpy import save_file

    from ngf_hub.card import write_card
    from ngf_hub.plots import plot_before_after

    content = content or report()
    folder.mkdir(parents=True, exist_ok=True)
    if shards:
        weight_map = {}
        for shard in range(shards):
            name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            save_file({f"w{shard}": np.full((4, 4), shard, np.float32)}, folder / name)
            weight_map[f"w{shard}"] = name
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        save_file({"fc.weight": np.ones((10, 4), np.float32)}, folder / "model.safetensors")
    config: dict[str, Any] = {"architecture": content.model.architecture, "num_classes": 10}
    if content.model.family == "transformers":
        labels = {str(label): f"class {label}" for label in range(10)}
        config = {"model_type": "resnet", "id2label": labels}
        (folder / "preprocessor_config.json").write_text("{}")
    (folder / "config.json").write_text(json.dumps(config))
    content.write(folder)
    plot_before_after(content, folder / "before_after.png")
    if content.trigger is not None:
        (folder / "trigger").mkdir(exist_ok=True)
        save_file({"image": np.ones((3, 4, 4), np.float32)}, folder / "trigger/trigger.safetensors")
        (folder / "trigger/trigger.json").write_text('{"family": "patch", "target": 3}')
    write_card(folder)
    return folder
