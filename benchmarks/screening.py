"""Does the screening of many classes keep the one with the backdoor? Its rank among 43.

    NGF_HUB_SHARED=... python -m benchmarks.screening --zoo DIR --attacks DIR [--seeds 5]

For backdoored models of GTSRB, by the family of changes that finds each: the rank of
the true class after the first stage of the screening, and after both where the first
leaves the share of the classes that it leaves of 1,000. Beside them stands what the
screening was before: the same number of steps on four images that differ from class
to class.

``--zoo`` is a folder that ``benchmarks.zoo`` wrote, ``--attacks`` one that
``benchmarks.attack_table`` wrote. A model that is not there is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.known_models import read
from ngf_hub import Classifier
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evidence.base import KINDS
from ngf_hub.evidence.recovered import TriggerRecovery, screening
from ngf_hub.recovery.pool import make_pools
from ngf_hub.recovery.search import Setting, Stage, search

CLASSES = 43
IMAGES = 300
ZOO = {
    "judge-patch-03-gtsrb-vgg": "patch",
    "judge-additive-05-gtsrb-allconv": "additive",
    "judge-sig-08-gtsrb-resnet": "additive",
}
ATTACKS = {"gtsrb-cnn-badnets": "patch", "gtsrb-cnn-blend": "additive"}
ATTACKS["gtsrb-cnn-wanet-strong"] = "warp"
BEFORE = Stage(12, 4, CLASSES)


def rank(setting: Setting, kind: str, stages: Sequence[Stage], target: int) -> str:
    """The place of a class, from 1 on, among those that are left; a dash where it is not."""
    evidence = KINDS[kind]
    assert issubclass(evidence, TriggerRecovery)
    found = search(evidence.space_class, setting, torch.arange(CLASSES), stages)
    left: list[int] = found.targets.tolist()
    return str(left.index(target) + 1) if target in left else "–"


def setting_of(classifier: Classifier, images: PixelSet, seed: int) -> Setting:
    """What a search runs on."""
    classifier.eval().requires_grad_(False)
    pool, _ = make_pools(classifier, images, batch_size=128, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return Setting(classifier, pool, make_accelerator("cpu"), 128, generator)


def main() -> None:
    """Print the table."""
    import ngf_hub.evidence.kinds  # noqa: F401  # registers them

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path)
    parser.add_argument("--attacks", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    first, second = screening(1000)
    few = replace(first, keep=CLASSES * first.keep // 1000)
    ways = {
        f"first ({few.evaluations(1)} images a class)": [replace(first, keep=CLASSES)],
        f"both (of {few.keep} left)": [few, replace(second, keep=few.keep)],
        f"before ({BEFORE.evaluations(1)})": [BEFORE],
    }
    print("\n| " + " | ".join(["model", "kind", *ways]) + " |")
    print("| --- " * (2 + len(ways)) + "|", flush=True)
    for name, kind in {**ZOO, **ATTACKS}.items():
        parent = arguments.zoo if name in ZOO else arguments.attacks
        if parent is None or not (parent / name).is_dir():
            continue
        known = read(parent / name)
        assert known.target is not None
        ranks: list[list[str]] = [[] for _ in ways]
        for seed in range(arguments.seeds):
            images = known.images(IMAGES, seed)
            for each, stages in zip(ranks, ways.values(), strict=True):
                setting = setting_of(known.classifier, images, seed)
                each.append(rank(setting, kind, stages, known.target))
        cells = [name, kind, *(", ".join(each) for each in ranks)]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
