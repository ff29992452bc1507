"""Is the layer that is chosen without trying as good as the best one found by trying all?

    NGF_HUB_SHARED=... python -m benchmarks.layer_choice [--seeds 2] [--attacked DIR] [--json FILE]

Each model unlearns the triggers that a search recovered (of the kind that stands out, to
the true class; 500 clean images without labels) by one layer after the other alone, by the
pair that ``auto`` takes first, and by all but the head together. The true trigger only
judges, on 2,000 other images: by the points of ASR that are left and of ACC that are lost.
``--attacked``, the folder of :mod:`benchmarks.attack_table`, adds models of its networks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.forgetting import KIND, Example, cost, of_folder, third_party
from ngf_hub.methods.cure.layers import promising

ATTACKED = {
    "cifar10-cnn-badnets": "patch",
    "cifar10-cnn-blend": "additive",
    "cifar10-cnn-issba": "additive",
    "cifar10-vit-badnets": "patch",
}
"""What stands out on models of the table of attacks."""


def tried(example: Example) -> Iterator[dict[str, Any]]:
    """What each choice of layers does, those alone first, in the order of execution."""
    chosen = promising(example.ranked)
    ordered = sorted(example.ranked, key=lambda entry: entry[0].depth)
    everything = [entry.name for _, entry in ordered]
    for layer, entry in ordered:
        after = example.unlearned([layer.name])
        yield {**after, "choice": "alone", "score": entry.score}
    yield {**example.unlearned(chosen), "choice": "chosen"}
    yield {**example.unlearned(everything), "choice": "all"}


def cell(rows: Sequence[dict[str, Any]]) -> str:
    """Points lost in sum, and of which: means over the rows."""
    asr, lost = fmean(r["asr"] for r in rows), fmean(r["before"]["acc"] - r["acc"] for r in rows)
    return f"{fmean(map(cost, rows)):.1f} (ASR {asr:.1f}, ACC {-lost:+.1f})"


def line(rows: Sequence[dict[str, Any]]) -> str:
    """One model: the choice beside what trying all layers alone finds."""
    alone = _by_layers([row for row in rows if row["choice"] == "alone"])
    best = min(alone, key=lambda some: fmean(map(cost, some)))
    by_score = max(alone, key=lambda some: fmean(row["score"] for row in some))
    chosen, everything = ([r for r in rows if r["choice"] == c] for c in ("chosen", "all"))
    worse = sum(fmean(map(cost, some)) >= fmean(map(cost, chosen)) for some in alone)
    names = " or ".join(dict.fromkeys(", ".join(row["layers"]) for row in chosen))
    cells = [
        rows[0]["model"],
        f"{names}: {cell(chosen)}",
        f"{worse} of {len(alone)}",
        f"{best[0]['layers'][0]}: {cell(best)}",
        f"{by_score[0]['layers'][0]}: {cell(by_score)}",
        cell(everything),
    ]
    return f"| {' | '.join(cells)} |"


def _by_layers(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    names = dict.fromkeys(tuple(row["layers"]) for row in rows)
    return [[row for row in rows if tuple(row["layers"]) == some] for some in names]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="of the third-party models")
    parser.add_argument("--attacked", type=Path)
    parser.add_argument("--json", type=Path, help="keep all figures here, and go on from there")
    parser.add_argument("--models", nargs="+", choices=[*KIND, *ATTACKED], help="default: all")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.json and arguments.json.is_file():
        rows = json.loads(arguments.json.read_text(encoding="utf-8"))
    planned: list[tuple[str, int, Callable[[], Example]]] = [
        (name, seed, partial(third_party, name, seed))
        for name in KIND
        for seed in range(arguments.seeds)
    ]
    if arguments.attacked:
        folders = {name: arguments.attacked / name for name in ATTACKED}
        planned += [(n, 0, partial(of_folder, folders[n], kind)) for n, kind in ATTACKED.items()]
    for name, seed, make in planned:
        if arguments.models and name not in arguments.models:
            continue
        if any((row["model"], row["seed"]) == (name, seed) for row in rows):
            continue
        rows += tried(make())
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(
        "| model | chosen without trying: points lost | layers alone that are no better "
        "| best layer alone, by trying | layer of the best score | all layers |"
    )
    print(f"|{' --- |' * 6}")
    for name in dict.fromkeys(row["model"] for row in rows):
        print(line([row for row in rows if row["model"] == name]))


if __name__ == "__main__":
    main()
