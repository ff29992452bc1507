"""Does the scan flag models that other authors backdoored, with the right class, and no other?

    NGF_HUB_SHARED=... python -m benchmarks.scan_thirdparty [--seeds 5] [--images 300] \\
        [--findings FILE]

Every seed draws other unlabelled test images. ``--findings`` keeps what the
evidence found, so that an interrupted run goes on and a new calibration judges
the same findings.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from benchmarks.thirdparty import ENTRIES, load_entry, shared_folder
from ngf_hub.data import load_images
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import default_batch_size
from ngf_hub.evidence.base import Case
from ngf_hub.evidence.collecting import collect, make_kinds
from ngf_hub.evidence.verdict import judge
from ngf_hub.scan_report import Finding
from ngf_hub.unchanged import unchanged


def findings_of(name: str, kind: str, seed: int, count: int) -> list[Finding]:
    """What one kind of evidence finds in a model with images drawn by the seed."""
    classifier, _ = load_entry(name)
    folder = shared_folder() / "data" / "cifar10"
    drawn = load_images(str(folder), split="test", judge_split="train", samples=count, seed=seed)
    images, _ = drawn.pixels_for(classifier)
    images.labels = None
    case = Case(
        classifier,
        images,
        make_accelerator("cpu"),
        seed=seed,
        batch_size=default_batch_size(classifier),
    )
    with unchanged(classifier) as state:
        collected = collect(make_kinds([kind]), case, state)
    assert collected.complete, collected.warnings
    return collected.findings


def main() -> None:
    """Scan, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--kinds", nargs="+")
    parser.add_argument("--findings", type=Path)
    parser.add_argument("--only-collect", action="store_true")
    arguments = parser.parse_args()
    kept = {}
    if arguments.findings and arguments.findings.is_file():
        kept = json.loads(arguments.findings.read_text(encoding="utf-8"))
    kinds = list(make_kinds(arguments.kinds))
    for seed in range(arguments.seeds):
        for name in ENTRIES:
            for kind in kinds:
                key = f"{name} {kind} {seed} {arguments.images}"
                if key not in kept:
                    found = findings_of(name, kind, seed, arguments.images)
                    kept[key] = [finding.model_dump(mode="json") for finding in found]
                    if arguments.findings:
                        arguments.findings.write_text(json.dumps(kept), encoding="utf-8")
    if arguments.only_collect:
        return
    print("| model | true target | seed | verdict | target | p | statistics |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    right = 0
    for name in ENTRIES:
        trigger = load_entry(name)[1]
        truth = trigger.target if trigger else None
        for seed in range(arguments.seeds):
            keys = [f"{name} {kind} {seed} {arguments.images}" for kind in kinds]
            findings = [Finding.model_validate(entry) for key in keys for entry in kept[key]]
            judged = judge(findings, classes=10)
            right += judged.target == truth and (judged.verdict == "backdoored") == bool(trigger)
            statistics = ", ".join(
                f"{f.kind} {f.statistic:.2f}" for f in judged.findings if f.statistic is not None
            )
            print(
                f"| {name} | {truth} | {seed} | {judged.verdict} | {judged.target} "
                f"| {judged.p_value:.2g} | {statistics} |"
            )
    print(f"\n{right} of {len(ENTRIES) * arguments.seeds} are judged rightly, target included.")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
