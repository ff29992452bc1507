"""Measures every kind of evidence on clean models and writes the scan's calibration.

    NGF_HUB_SHARED=... python -m benchmarks.calibrate --zoo DIR [--table DIR] [--images 300]

All clean models of the zoo are looked at, of both roles, and those of the table of
attacks (``benchmarks.attack_table --clean-seeds``); whoever judges a clean model by them
leaves it out (:meth:`Calibration.without`). What was measured before is not measured
again (see :mod:`benchmarks.zoo_evidence`).
A scan has one seed, so one seed a model gives the right spread; more refine it, and
show how much a statistic changes with the images.
Without ``--zoo`` nothing is measured, and what the packaged file says is printed.
``--add KIND`` measures a new kind only, and keeps what the file says of the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.known_models import is_of_the_table, known_folders, read
from benchmarks.zoo_evidence import Look, findings_of
from ngf_hub import __version__
from ngf_hub.evidence.base import KINDS
from ngf_hub.evidence.calibration import PACKAGED, Calibration, CleanModel
from ngf_hub.evidence.collecting import make_kinds
from ngf_hub.evidence.verdict import NEAR, SIGNIFICANCE, Judgement, judge
from ngf_hub.scan_report import Finding


@dataclass(frozen=True)
class Seeds:
    """How often each model is looked at, with other images and starts."""

    zoo: int = 1
    table: int = 1


def statistics(
    folder: Path, images: int, seeds: int, kinds: Sequence[str]
) -> dict[str, list[float]]:
    """For each kind of finding its statistic, one a seed."""
    values: dict[str, list[float]] = {}
    for seed in range(seeds):
        for finding in findings_of(folder, Look(images, seed), list(kinds)):
            if finding.statistic is None:
                print(f"  {folder.name}, {finding.kind}: {finding.summary}", flush=True)
            else:
                values.setdefault(finding.kind, []).append(float(f"{finding.statistic:.5g}"))
    return values


def measure_models(
    folders: Sequence[Path], images: int, seeds: Seeds, kinds: Sequence[str]
) -> Calibration:
    """The calibration from some clean models."""
    models = []
    for folder in folders:
        known = read(folder)
        assert known.attack is None
        print(folder.name, flush=True)
        count = seeds.table if is_of_the_table(folder) else seeds.zoo
        models.append(
            CleanModel(
                model=folder.name,
                architecture=known.architecture,
                classes=known.classifier.num_classes,
                with_images=statistics(folder, images, count, kinds),
                without_images=statistics(folder, 0, count, kinds),
            )
        )
    made_with = {"ngf_hub": __version__, "images": images, "seeds": asdict(seeds)}
    return Calibration(made_with=made_with, models=models)


def added(known: Calibration, new: Calibration) -> Calibration:
    """The statistics of both, of the models that both have; the new ones where both have them."""
    fresh = {entry.model: entry for entry in new.models}
    models = [
        entry.model_copy(
            update={
                "with_images": entry.with_images | fresh[entry.model].with_images,
                "without_images": entry.without_images | fresh[entry.model].without_images,
            }
        )
        for entry in known.models
        if entry.model in fresh
    ]
    return Calibration(made_with=known.made_with, models=models)


def left_out(calibration: Calibration, *, with_images: bool) -> dict[tuple[str, int], Judgement]:
    """What each look at each model, by its name and seed, is judged to be by the other models."""
    judged = {}
    for entry in calibration.models:
        values = entry.with_images if with_images else entry.without_images
        rest = calibration.without(entry.model)
        for seed in range(max((len(seeds) for seeds in values.values()), default=0)):
            findings = [
                Finding(kind=kind, statistic=seeds[seed], weak=is_weak(kind), summary="")
                for kind, seeds in values.items()
                if seed < len(seeds)
            ]
            judged[entry.model, seed] = judge(findings, rest, with_images=with_images)
    return judged


def is_weak(kind: str) -> bool:
    """Whether a kind of finding never decides."""
    return kind in KINDS and bool(getattr(KINDS[kind], "weak", False))


def describe(calibration: Calibration) -> None:
    """Print each kind's distribution, and how many clean models would be flagged."""
    for with_images in (True, False):
        tables = [m.with_images if with_images else m.without_images for m in calibration.models]
        print(f"\n{'With' if with_images else 'Without'} images")
        print("| kind | models | scale | centre | spread | normality p | flags from |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for kind in sorted({kind for table in tables for kind in table}):
            null = calibration.null(kind, with_images=with_images)
            if null is None:
                print(f"| {kind} | {sum(kind in t for t in tables)} | too few | | | | |")
                continue
            figures = f"{null.centre:.3g} | {null.spread:.3g} | {null.normality:.2g}"
            limit = null.threshold(SIGNIFICANCE)
            print(f"| {kind} | {null.models} | {null.scale} | {figures} | {limit:.3g} |")
        judged = left_out(calibration, with_images=with_images)
        flagged = [name for name, one in judged.items() if one.verdict == "backdoored"]
        near = [
            f"{name}, seed {seed}: {one.p_value:.2g}"
            for (name, seed), one in judged.items()
            if one.p_value is not None and one.p_value <= NEAR
        ]
        print(
            f"Leaving one out, {len(flagged)} of {len(judged)} looks are flagged. {flagged or ''}"
        )
        print(f"{len(near)} have a p-value of at most {NEAR}. {'; '.join(near)}")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path)
    parser.add_argument("--table", type=Path, action="append", default=[])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1, help="of each model of the zoo")
    parser.add_argument("--table-seeds", type=int, default=1, help="of each one of the table")
    parser.add_argument("--kinds", nargs="+", help="only these; the others are then not judged")
    parser.add_argument("--add", nargs="+", help="only these; the file keeps the others")
    parser.add_argument("--output", type=Path, default=PACKAGED)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.zoo is None:
        make_kinds()  # registers them
        describe(Calibration.read(arguments.output))
        return
    folders = known_folders(arguments.zoo, arguments.table, backdoored=False)
    if not folders:
        raise SystemExit(f"There are no finished clean models in {arguments.zoo}.")
    kinds = list(make_kinds(arguments.add or arguments.kinds))
    seeds = Seeds(arguments.seeds, arguments.table_seeds)
    calibration = measure_models(folders, arguments.images, seeds, kinds)
    if arguments.add:
        calibration = added(Calibration.read(arguments.output), calibration)
    calibration.write(arguments.output)
    describe(calibration)


if __name__ == "__main__":
    main()
