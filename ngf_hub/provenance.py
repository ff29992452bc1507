"""What a report says of the model, the run and its cost."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from ngf_hub import __version__
from ngf_hub.report import (
    Cost,
    DataInfo,
    Measurement,
    ModelInfo,
    Provenance,
    Report,
    TriggerInfo,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ngf_hub.adapters import Classifier
    from ngf_hub.triggers import Trigger

PACKAGES = (
    "torch",
    "timm",
    "transformers",
    "huggingface_hub",
    "datasets",
    "accelerate",
    "safetensors",
    "curvlinops-for-pytorch",
    "numpy",
    "pillow",
    "scikit-learn",
)


def model_info(classifier: Classifier) -> ModelInfo:
    """The report's part on the model that was read."""
    from ngf_hub.errors import ModelError

    try:
        head = [branch.name for branch in classifier.head.branches]
    except ModelError:
        head = []  # inner layers can be tuned without a head of the known form
    source = classifier.source
    return ModelInfo(
        name=source.name,
        commit=source.commit,
        family=classifier.family,
        architecture=classifier.architecture,
        licence=source.licence,
        num_classes=classifier.num_classes,
        class_names=classifier.class_names,
        parameters=sum(p.numel() for p in classifier.network.parameters()),
        head=head,
        preprocessing=classifier.preprocessing.config,
        files=dict(source.files),
        notes=list(source.notes),
    )


def trigger_info(trigger: Trigger, origin: str, classifier: Classifier) -> TriggerInfo:
    """The report's part on the trigger that ASR was measured with."""
    names = classifier.class_names
    named = names is not None and trigger.target is not None
    return TriggerInfo(
        family=trigger.family,
        origin=origin,  # type: ignore[arg-type]  # validated by the model
        target=trigger.target,
        target_name=names[trigger.target] if named else None,  # type: ignore[index]
        parameters=trigger.parameters(),
    )


def provenance(seed: int, arguments: Mapping[str, Any], command: Sequence[str] = ()) -> Provenance:
    """The report's part on how to run the same thing again."""
    versions = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return Provenance(
        tool_version=__version__,
        versions=versions,
        command=list(command),
        arguments=dict(arguments),
        seed=seed,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def cost(accelerator: Accelerator, seconds: Mapping[str, float]) -> Cost:
    """The report's part on seconds and memory, of the GPU where there is one."""
    import torch

    if accelerator.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(accelerator.device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in KiB on Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return Cost(
        seconds={key: round(value, 3) for key, value in seconds.items()},
        peak_memory_bytes=peak,
        device=str(accelerator.device),
        processes=accelerator.num_processes,
        mixed_precision=accelerator.mixed_precision,
    )


def evaluation_report(
    classifier: Classifier,
    data: DataInfo,
    measured: Measurement,
    *,
    trigger: Trigger | None,
    accelerator: Accelerator,
    seed: int,
    arguments: Mapping[str, Any],
    command: Sequence[str],
) -> Report:
    """The report of a measurement that changed nothing."""
    return Report(
        kind="evaluate",
        model=model_info(classifier),
        data=data,
        trigger=trigger_info(trigger, trigger.origin, classifier) if trigger else None,
        before=measured,
        cost=cost(accelerator, {}),
        provenance=provenance(seed, arguments, command),
    )
