"""What do worst cases and a share of the way add to unlearning, and what do they cost?

    NGF_HUB_SHARED=... python -m benchmarks.worst_case [--attacked DIR] [--seeds 3]
        [--third-party vgg-badnets vgg-l2inv wrn-grid] [--images-seeds 5]

Models of the table of attacks (:mod:`benchmarks.attack_table`), or of other authors,
unlearn the triggers that a search recovered, to the true class, by the layers that ``auto``
takes first: with each radius by which half of the triggered images are moved towards the class
(:mod:`ngf_hub.methods.worst_case`), and with each share of the way to the tuned weights
(:mod:`ngf_hub.methods.interpolation`). Seeds are of the order of images and of what varies;
``--images-seeds`` draw the images of third-party models. The true trigger only judges. Radii and
share of ``auto`` were chosen on models of other seeds and targets, and on third-party ones with
images from seed 5 on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.forgetting import KIND, Example, of_folder, third_party
from ngf_hub.methods.cure.layers import promising
from ngf_hub.methods.cure.plans import WORST_CASE
from ngf_hub.methods.unlearn import NEAR, Unlearning

ATTACKED = {
    "cifar10-cnn-badnets": "patch",
    "cifar10-cnn-blend": "additive",
    "cifar10-cnn-issba": "additive",
    "cifar10-cnn-wanet-strong": "warp",
    "cifar10-vit-badnets": "patch",
    "cifar10-vit-blend": "additive",
}
"""What stands out on them."""


def forgotten(example: Example, radius: float, share: float, seeds: int) -> list[dict[str, Any]]:
    """What unlearning by a radius and a share leaves, from each seed."""
    layers = promising(example.ranked)
    rows = []
    for seed in range(seeds):
        example.seed = seed
        rows.append(example.unlearned(layers, radius=radius, share=share))
    return rows


def line(radius: float, share: float, rows: Sequence[dict[str, Any]]) -> str:
    """Means, and in brackets the worst seed."""
    lost = [row["before"]["acc"] - row["acc"] for row in rows]
    left, recovered = [row["asr"] for row in rows], [row["ra"] for row in rows]
    cells = [
        rows[0]["model"],
        f"{radius:g}",
        f"{share:g}",
        f"{rows[0]['before']['asr']:.1f} → {fmean(left):.1f} ({max(left):.1f})",
        f"{fmean(lost):.1f} ({max(lost):.1f})",
        f"{fmean(recovered):.1f} ({min(recovered):.1f})",
        f"{fmean(row['seconds'] for row in rows):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def examples(arguments: argparse.Namespace) -> Iterator[Example]:
    """The models that are asked for, one after the other."""
    if arguments.attacked is not None:
        for name in arguments.models:
            yield of_folder(arguments.attacked / name, ATTACKED[name])
    for name in arguments.third_party:
        for seed in arguments.images_seeds:
            yield third_party(name, seed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attacked", type=Path, help="folder of the table of attacks")
    parser.add_argument("--models", nargs="+", choices=list(ATTACKED), default=list(ATTACKED))
    parser.add_argument("--third-party", nargs="+", choices=list(KIND), default=[])
    parser.add_argument("--images-seeds", type=int, nargs="+", default=[5])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--radii", type=float, nargs="+", default=[0.0, NEAR, WORST_CASE])
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, Unlearning.share])
    arguments = parser.parse_args()
    print("| model | radius | share | true ASR before → after | ACC lost | RA after | seconds |")
    print(f"|{' --- |' * 7}", flush=True)
    for example in examples(arguments):
        for radius, share in product(arguments.radii, arguments.shares):
            rows = forgotten(example, radius, share, arguments.seeds)
            print(line(radius, share, rows), flush=True)


if __name__ == "__main__":
    main()
