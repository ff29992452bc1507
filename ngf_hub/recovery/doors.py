"""Several triggers for the class that stands out, complete enough to unlearn it by.

The smallest change that works is a part of the trigger, and another part from
every random start: a model that unlearns one still answers to the rest. So
several are searched, and each is completed in the way of its family.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ngf_hub.evidence.base import Recovered
from ngf_hub.recovery.pool import Pool
from ngf_hub.recovery.search import Candidates, Setting, Stage, search
from ngf_hub.recovery.space import Space
from ngf_hub.triggers import Trigger
from ngf_hub.triggers.patch import PatchTrigger

STARTS = 4


def recover_doors(
    space_class: type[Space], setting: Setting, judging: Pool, best: Candidates, restart: Stage
) -> list[Recovered]:
    """Triggers for the class of the smallest change, those that work best first.

    Args:
        space_class: The family.
        setting: What to search on.
        judging: Images that the search does not see.
        best: What the search of all classes found.
        restart: How long each further start is searched.
    """
    found = best.first(1)
    target = int(found.targets[0])
    others = torch.full((STARTS - 1,), target)
    further = search(space_class, setting, others, [restart])
    found = Candidates.joined([found, further])
    preprocessing = setting.classifier.preprocessing
    state = [tensor.to(setting.classifier.device) for tensor in found.state]
    space = space_class(state, (preprocessing.channels, *preprocessing.size))
    recovered = [
        Recovered(
            trigger,
            change_size(trigger, judging.pixels),
            judging.success(setting.classifier, trigger, setting.batch_size),
        )
        for trigger in space.complete(setting, target)
    ]
    return sorted(recovered, key=lambda entry: -(entry.success.value or 0.0))


def change_size(trigger: Trigger, pixels: Tensor) -> float:
    """How much a trigger changes: see :class:`ngf_hub.scan_report.RecoveredTrigger`."""
    if isinstance(trigger, PatchTrigger):
        return float(trigger.opacity.sum())
    return float((trigger.apply(pixels) - pixels).square().mean().sqrt())
