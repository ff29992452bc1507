"""Does ``auto`` cure models that other authors backdoored, and leave a clean one alone?

    NGF_HUB_SHARED=... python -m benchmarks.cure_thirdparty [--seeds 5] [--json FILE]

For each model and seed, 500 CIFAR-10 test images without labels are all that
``auto`` sees; 2,000 others with labels judge. The true trigger is used for
judging only. ``--images`` gives ``auto`` images of another dataset, which the model was
not made for. ``--json`` keeps every run, so that an interrupted benchmark goes on.

Seeds 0 to 4 judge; settings were chosen on seeds from 5 on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.thirdparty import ENTRIES, clean_images, load_entry, shared_folder
from ngf_hub.adapters import Classifier
from ngf_hub.data import PixelSet
from ngf_hub.data.convert import to_pixels
from ngf_hub.data.unlabelled import load_unlabelled
from ngf_hub.devices import make_accelerator
from ngf_hub.pipeline import Clean, purify_classifier
from ngf_hub.report import Measurement, Rate

IMAGES, JUDGES = 500, 2000
OWN = "cifar10"
"""What the models were made for."""
OTHERS = ("tiny-imagenet-20", "imagenette", "gtsrb")


def images_of(data: str, classifier: Classifier, seed: int, samples: int) -> Clean:
    """Unlabelled images of a dataset that tune, and labelled ones of CIFAR-10 that judge."""
    if data == OWN:
        return clean_images(classifier, seed, samples, JUDGES)
    judge = clean_images(classifier, seed, 0, JUDGES).judge
    found, info = load_unlabelled(str(shared_folder() / "data" / data), samples=samples, seed=seed)
    return Clean(PixelSet(to_pixels(found, classifier.preprocessing).pixels), judge, info)


def run(model: str, seed: int, samples: int, precision: str, data: str = OWN) -> dict[str, Any]:
    """All figures of one model and seed, as JSON values."""
    classifier, true = load_entry(model)
    start = time.perf_counter()
    report = purify_classifier(
        classifier,
        images_of(data, classifier, seed, samples),
        accelerator=make_accelerator(mixed_precision=precision),
        trigger=true,
        seed=seed,
    ).report
    cure = report.cure
    assert cure is not None
    assert report.after is not None
    assert report.method is not None
    unseen = cure.pooled(seen=False)
    return {
        "model": model,
        "seed": seed,
        "samples": samples,
        "precision": precision,
        "images": data,
        "true_target": true.target if true else None,
        "state": cure.state,
        "why": cure.why,
        "suspected": cure.suspected.model_dump(mode="json"),
        "layers": report.method.layers,
        "ranking": [entry.model_dump(mode="json") for entry in cure.ranking],
        "attempts": [entry.model_dump(mode="json") for entry in cure.attempts],
        "again": cure.again.model_dump(mode="json") if cure.again else None,
        "before": _figures(report.before),
        "after": _figures(report.after),
        "unseen": [rate.model_dump(mode="json") for rate in unseen] if unseen else None,
        "seconds": {
            "auto": report.cost.seconds["tune"],
            "all": round(time.perf_counter() - start, 1),
        },
        "threads": torch.get_num_threads(),
    }


def _setting(row: dict[str, Any]) -> tuple[int, str, str]:
    """The images and precision of a kept run."""
    return row["samples"], row["precision"], row["images"]


def _figures(measured: Measurement) -> dict[str, Any]:
    def value(rate: Rate | None) -> dict[str, Any] | None:
        return None if rate is None else rate.model_dump(mode="json")

    return {
        "acc": value(measured.accuracy),
        "asr": value(measured.attack_success),
        "ra": value(measured.recovered_accuracy),
    }


def row(rows: Sequence[dict[str, Any]]) -> str:
    """The line of one model: means over seeds, in brackets the worst seed."""
    flagged = [r for r in rows if r["suspected"]["verdict"] == "backdoored"]
    right = sum(r["suspected"]["target"] == r["true_target"] for r in flagged)
    states = {state: sum(r["state"] == state for r in rows) for state in _states(rows)}
    unseen = [100 * r["unseen"][1]["value"] for r in rows if r["unseen"]]
    cells = [
        rows[0]["model"],
        f"{len(flagged)} of {len(rows)}, class right in {right}",
        _change(rows, "acc", min),
        _change(rows, "asr", max),
        _change(rows, "ra", min),
        f"{fmean(unseen):.1f} ({max(unseen):.1f})" if unseen else "–",
        ", ".join(f"{count} {state}" for state, count in states.items()),
        ", ".join(sorted({name for r in rows for name in r["layers"]})) or "none",
        f"{fmean(r['seconds']['auto'] for r in rows):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _states(rows: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({r["state"] for r in rows})


def _change(
    rows: Sequence[dict[str, Any]], name: str, worst: Callable[[list[float]], float]
) -> str:
    if rows[0]["before"][name] is None:
        return "–"
    before, after = ([100 * r[when][name]["value"] for r in rows] for when in ("before", "after"))
    return f"{fmean(before):.1f} → {fmean(after):.1f} ({worst(after):.1f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=IMAGES)
    parser.add_argument("--precision", choices=["no", "bf16"], default="no")
    parser.add_argument("--images", choices=[OWN, *OTHERS], default=OWN, help="what auto sees")
    parser.add_argument("--models", nargs="+", choices=list(ENTRIES), default=list(ENTRIES))
    parser.add_argument("--json", type=Path, help="keep all figures here, and go on from there")
    arguments = parser.parse_args()
    kept: list[dict[str, Any]] = []
    if arguments.json and arguments.json.is_file():
        kept = json.loads(arguments.json.read_text(encoding="utf-8"))
    setting = arguments.samples, arguments.precision, arguments.images
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for model in arguments.models:
            if any((r["model"], r["seed"], *_setting(r)) == (model, seed, *setting) for r in kept):
                continue
            kept.append(run(model, seed, *setting))
            if arguments.json:
                arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(
        "| model | flagged by the search | ACC before → after | true ASR before → after | "
        "RA before → after | ASR of unseen recovered triggers, after | state | layer | seconds |"
    )
    print(f"|{' --- |' * 9}", flush=True)
    for model in arguments.models:
        rows = [r for r in kept if (r["model"], *_setting(r)) == (model, *setting)]
        print(row(rows), flush=True)


if __name__ == "__main__":
    main()
