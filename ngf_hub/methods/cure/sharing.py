"""The recovery of triggers, shared over processes.

A search goes on for many steps and ends elsewhere from the smallest difference, so it is not
divided by images: what a process takes is computed as one process alone would. Where there are
batches of classes enough for all processes, each search is divided by these (see
:mod:`ngf_hub.recovery.search`); where there are not (ten classes of small images are one batch),
the kinds of triggers are divided, a search each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ngf_hub.devices import alone, exchanged
from ngf_hub.evidence.base import Case, Evidence, Recovered
from ngf_hub.evidence.collecting import Evidences, collect
from ngf_hub.evidence.recovered import IMAGES_A_PASS, TriggerRecovery
from ngf_hub.report_parts import Rate
from ngf_hub.scan_report import Finding
from ngf_hub.triggers.base import FAMILIES
from ngf_hub.unchanged import State

TOLD = "told"
"""The tensor that holds what is no tensor, as JSON."""


def collect_shared(chosen: Mapping[str, Evidence], case: Case, state: State) -> Evidences:
    """See :func:`ngf_hub.evidence.collecting.collect`; the same on every process."""
    owners = owners_of(chosen, case, case.classifier.num_classes)
    if not owners:
        return collect(chosen, case, state)
    rank = case.accelerator.process_index
    itself = replace(case, accelerator=alone(case.accelerator))
    # What all do together comes first: nobody waits in it for one who searches by itself.
    parts = {
        name: collect({name: kind}, case, state)
        for name, kind in chosen.items()
        if name not in owners
    }
    own = {
        name: collect({name: chosen[name]}, itself, state)
        for name, owner in owners.items()
        if owner == rank
    }
    for payload in exchanged(to_bytes(own), case.accelerator):
        parts.update(from_bytes(payload))
    return merged([parts[name] for name in chosen])


def owners_of(kinds: Mapping[str, Evidence], case: Case, classes: int) -> dict[str, int]:
    """The process that searches each kind of triggers by itself; none where all share each.

    The way that needs fewer passes of the busiest process is taken.

    Args:
        kinds: Kinds of evidence; those that search for no triggers have no owner.
        case: What they are looked for in.
        classes: How many classes are searched.
    """
    count = case.accelerator.num_processes
    searches = {name: kind for name, kind in kinds.items() if isinstance(kind, TriggerRecovery)}
    if count == 1 or len(searches) < 2:
        return {}
    together = sum(_passes(kind, classes, case, count) for kind in searches.values())
    loads = [0] * count
    owners: dict[str, int] = {}
    each = {name: _passes(kind, classes, case, 1) for name, kind in searches.items()}
    for name in sorted(searches, key=lambda name: -each[name]):
        owners[name] = loads.index(min(loads))
        loads[owners[name]] += each[name]
    return owners if max(loads) < together else {}


def _passes(kind: TriggerRecovery, classes: int, case: Case, processes: int) -> int:
    """Images that the busiest of so many processes takes through the network, at most."""
    size = min(IMAGES_A_PASS, case.batch_size)
    left, passes = len(kind.searched(classes)), 0
    for stage in [*kind.stages(classes), kind.restart]:
        rows = max(1, size // stage.images)
        batches = -(-left // rows)
        most = min(left, rows * -(-batches // processes))
        passes += stage.evaluations(most)
        left = min(left, stage.keep)
    return passes


def merged(parts: Sequence[Evidences]) -> Evidences:
    """One after the other."""
    result = Evidences()
    for part in parts:
        result.findings += part.findings
        result.recovered += part.recovered
        result.seconds |= part.seconds
        result.warnings += part.warnings
        result.complete = result.complete and part.complete
    return result


def to_bytes(parts: Mapping[str, Evidences]) -> bytes:
    """What some kinds brought in, as safetensors: nothing is pickled, not even here."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    told = {}
    for name, part in parts.items():
        recovered = []
        for row, (kind, found) in enumerate(part.recovered):
            for key, tensor in found.trigger.tensors().items():
                tensors[f"{name}/{row}/{key}"] = tensor.detach().cpu().contiguous()
            recovered.append(
                {
                    "kind": kind,
                    "family": found.trigger.family,
                    "target": found.trigger.target,
                    "origin": found.trigger.origin,
                    "parameters": found.trigger.parameters(),
                    "keys": list(found.trigger.tensors()),
                    "size": found.size,
                    "success": [found.success.count, found.success.n],
                }
            )
        told[name] = {
            "findings": [finding.model_dump(mode="json") for finding in part.findings],
            "seconds": part.seconds,
            "warnings": part.warnings,
            "complete": part.complete,
            "recovered": recovered,
        }
    text = json.dumps(told).encode()
    tensors[TOLD] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return save(tensors)


def from_bytes(payload: bytes) -> dict[str, Evidences]:
    """The inverse of :func:`to_bytes`."""
    from safetensors.torch import load

    tensors = load(payload)
    told = json.loads(bytes(tensors[TOLD].numpy()))
    parts = {}
    for name, part in told.items():
        recovered = []
        for row, entry in enumerate(part["recovered"]):
            own = {key: tensors[f"{name}/{row}/{key}"] for key in entry["keys"]}
            family = FAMILIES[entry["family"]]
            trigger = family.from_parts(entry["parameters"], own, entry["target"])
            trigger.origin = entry["origin"]
            count, n = entry["success"]
            found = Recovered(trigger, entry["size"], Rate(count=count, n=n))
            recovered.append((entry["kind"], found))
        parts[name] = Evidences(
            findings=[Finding.model_validate(finding) for finding in part["findings"]],
            recovered=recovered,
            seconds=part["seconds"],
            warnings=part["warnings"],
            complete=part["complete"],
        )
    return parts
