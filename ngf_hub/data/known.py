"""The datasets that have a short name, one line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownDataset:
    """A dataset whose repository, or what is special about it, is known.

    Attributes:
        hub_id: Its repository; ``None`` for one that an installed library embeds.
        label_column: The label column where the repository has several.
        judge_split: The split that judges where the usual choice has no labels.
    """

    hub_id: str | None
    label_column: str | None = None
    judge_split: str | None = None


KNOWN: dict[str, KnownDataset] = {
    "cifar10": KnownDataset("uoft-cs/cifar10"),
    "cifar100": KnownDataset("uoft-cs/cifar100", label_column="fine_label"),
    "gtsrb": KnownDataset("tanganke/gtsrb"),
    "tiny-imagenet": KnownDataset("zh-plus/tiny-imagenet"),
    "imagenet": KnownDataset("ILSVRC/imagenet-1k", judge_split="validation"),
    "digits": KnownDataset(None),
}


def find_known(name: str) -> KnownDataset | None:
    """The known dataset of a short name or a Hub id, in any case.

    >>> find_known("uoft-cs/cifar100").label_column
    'fine_label'
    """
    wanted = name.lower()
    for short, known in KNOWN.items():
        if wanted == short or (known.hub_id and wanted == known.hub_id.lower()):
            return known
    return None
