"""The zoo: small clean and backdoored models that calibrate the scan and judge it.

    NGF_HUB_SHARED=... python -m benchmarks.zoo --output DIR [--slots 30] [--threads 1]

Each model is a folder with ``model.safetensors``, ``meta.json`` and, if it is
backdoored, ``trigger/``. A folder that is there is kept, so an interrupted run
goes on where it stopped. :func:`load_zoo_model` loads one.

Clean accuracy and ASR in ``meta.json`` are measured on test images in float32.
A backdoored model whose ASR misses :data:`ENOUGH` is trained again from another
seed, with more poison and the trigger put on after the crop; all attempts are recorded, the
best one is kept, and ``accepted`` says whether it holds a backdoor (ASR of at
least :data:`LEAST`) and learnt its task at all.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.thirdparty import shared_folder
from benchmarks.zoo_networks import NETWORKS
from benchmarks.zoo_plan import CLASSES, POISON_RATES, Recipe, draw_trigger, plan
from benchmarks.zoo_training import Training, train
from ngf_hub.adapters import Classifier, load_model
from ngf_hub.data import PixelSet, load_images
from ngf_hub.data.convert import to_pixels
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import measure
from ngf_hub.triggers import Trigger, load_folder

SIDE = 32
MEAN, STD = 0.45, 0.25
JUDGED = 2000
ENOUGH, LEAST = 0.95, 0.90
LEAST_ACCURACY = 0.5
ATTEMPTS = 3
EPOCHS = {"cifar10": 3.0, "gtsrb": 7.0, "digits": 4.0}
SLOW_LEARNERS = {"convnext": 2.0, "vit": 1.5}
"""How many times more epochs an architecture needs."""
META_FILE, WEIGHTS_FILE, TRIGGER_FOLDER = "meta.json", "model.safetensors", "trigger"


def load_zoo_model(folder: Path) -> tuple[Classifier, Trigger | None, dict[str, Any]]:
    """A model of the zoo, its true trigger (``None`` if it is clean) and its ``meta.json``."""
    meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
    classifier = untrained(meta["architecture"], meta["num_classes"], seed=0)
    classifier.network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    trigger = load_folder(folder / TRIGGER_FOLDER) if meta["attack"] else None
    return classifier, trigger, meta


def zoo_folders(
    output: Path, *, role: str | None = None, backdoored: bool | None = None
) -> list[Path]:
    """The finished and accepted models of a role, clean or backdoored, in the order of the plan."""
    folders = []
    for recipe in plan():
        folder = output / recipe.name
        if role not in (None, recipe.role) or not (folder / META_FILE).is_file():
            continue
        if backdoored not in (None, recipe.attack is not None):
            continue
        if json.loads((folder / META_FILE).read_text(encoding="utf-8"))["accepted"]:
            folders.append(folder)
    return folders


@cache
def _all_images(data: str, split: str) -> PixelSet:
    source = data if data == "digits" else str(shared_folder() / "data" / data)
    like = untrained("vgg", CLASSES[data], seed=0).preprocessing
    if split == "train":
        return to_pixels(load_images(source, samples=None, judge_samples=1).tune, like)
    return to_pixels(load_images(source, samples=0, judge_samples=None).judge, like)


def zoo_images(data: str, split: str, n: int | None, seed: int) -> PixelSet:
    """Labelled images of a dataset of the zoo, drawn at random.

    Args:
        data: ``cifar10``, ``gtsrb``, or ``digits`` (for tests).
        split: ``train`` or ``test``.
        n: How many; ``None`` for all.
        seed: Decides which.
    """
    images = _all_images(data, split)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.select(order[:n])


def untrained(architecture: str, num_classes: int, *, seed: int) -> Classifier:
    """A network of the zoo with random weights, as a classifier of pixels in [0, 1]."""
    torch.manual_seed(seed)
    network = NETWORKS[architecture](num_classes)
    return load_model(network, size=SIDE, mean=MEAN, std=STD)


def settings(recipe: Recipe, attempt: int) -> Training:
    """How a model is trained.

    Half of the backdoored models get the trigger after the crop; where an attempt
    fails, later ones do, with more poison.
    """
    rate = POISON_RATES[recipe.attack] * 1.5**attempt if recipe.attack else 0.0
    # Warps are too weak to be learnt that soon when crop and mirroring hide them.
    after = attempt > 0 or recipe.seed % 2 == 1 or recipe.attack == "warp"
    return Training(
        epochs=EPOCHS[recipe.data] * SLOW_LEARNERS.get(recipe.architecture, 1.0),
        flip=recipe.data == "cifar10",
        learning_rate=2e-3 if recipe.architecture == "vit" else 4e-3,
        poison_rate=round(rate, 4),
        after_crop=recipe.attack is not None and after,
        # Layer norm and attention are slower in bfloat16 on a CPU, convolutions faster.
        bfloat16=recipe.architecture not in SLOW_LEARNERS,
    )


@dataclass
class Attempt:
    """One training of a recipe and what came of it.

    Attributes:
        classifier: The trained model.
        trigger: Its trigger, ``None`` if it is clean.
        record: Settings, loss, clean accuracy and ASR with their n, as JSON values.
        share: The ASR as a share of what is possible: all-to-all success cannot
            exceed what the model knows of the true classes. 1 for a clean model, and
            0 for any that learnt too little to be a model at all.
    """

    classifier: Classifier
    trigger: Trigger | None
    record: dict[str, Any]
    share: float


def attempt_recipe(recipe: Recipe, number: int) -> Attempt:
    """Train a recipe for the ``number``-th time, from 0 on, and measure it on test images."""
    seed = recipe.seed + 10_000 * number
    trigger = draw_trigger(recipe.attack, recipe.target, seed) if recipe.attack else None
    training = settings(recipe, number)
    classifier = untrained(recipe.architecture, CLASSES[recipe.data], seed=seed)
    images = _all_images(recipe.data, "train")
    assert images.labels is not None
    loss = train(classifier, images.pixels, images.labels, training, trigger=trigger, seed=seed)
    judge = zoo_images(recipe.data, "test", JUDGED, seed=recipe.seed)
    rates = measure(classifier, judge, accelerator=make_accelerator("cpu"), trigger=trigger)
    success, accuracy = rates.attack_success, rates.accuracy
    record = {
        "seed": seed,
        "training": asdict(training),
        "loss": loss,
        "accuracy": accuracy.value,
        "accuracy_n": accuracy.n,
        "asr": success.value if success else None,
        "asr_n": success.n if success else None,
    }
    known = accuracy.value or 0.0
    share = 1.0
    if known < LEAST_ACCURACY:
        share = 0.0
    elif success is not None:
        possible = known if recipe.attack == "patch-all-to-all" else 1.0
        share = (success.value or 0.0) / possible
    return Attempt(classifier, trigger, record, share)


def make_model(recipe: Recipe, output: Path) -> dict[str, Any]:
    """Train a model and write its folder.

    Returns:
        What ``meta.json`` says.
    """
    start = time.perf_counter()
    records: list[dict[str, Any]] = []
    best: Attempt | None = None
    while len(records) < ATTEMPTS and (best is None or best.share < ENOUGH):
        attempt = attempt_recipe(recipe, len(records))
        records.append(attempt.record)
        if best is None or attempt.share > best.share:
            best = attempt
    assert best is not None
    meta = {
        **asdict(recipe),
        "num_classes": CLASSES[recipe.data],
        "kind": "backdoored" if recipe.attack else "clean",
        "accepted": best.share >= LEAST,
        **best.record,
        "attempts": records,
        "seconds": round(time.perf_counter() - start, 1),
    }
    part = output / f".{recipe.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    weights = {k: v.contiguous() for k, v in best.classifier.network.state_dict().items()}
    save_file(weights, part / WEIGHTS_FILE)
    if best.trigger is not None:
        best.trigger.save(part / TRIGGER_FOLDER)
    (part / META_FILE).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    os.replace(part, output / recipe.name)
    return meta


def describe(meta: dict[str, Any]) -> str:
    """One line of a finished model."""
    asr = "" if meta["asr"] is None else f" ASR {meta['asr']:.3f}"
    tries = f" after {len(meta['attempts'])} attempts" if len(meta["attempts"]) > 1 else ""
    missed = "" if meta["accepted"] else " NOT ACCEPTED"
    return (
        f"{meta['name']}: ACC {meta['accuracy']:.3f}{asr}, {meta['seconds']:.0f} s{tries}{missed}"
    )


def train_missing(recipes: Iterable[Recipe], output: Path) -> None:
    """Train the models that ``output`` does not hold yet, and print a line for each."""
    output.mkdir(parents=True, exist_ok=True)
    for recipe in recipes:
        if not (output / recipe.name).exists():
            print(describe(make_model(recipe, output)), flush=True)


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--slots", type=int, default=30, help="models of each of the three groups")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chosen = [r for r in plan(arguments.slots) if arguments.only in r.name]
    train_missing(chosen, arguments.output)


if __name__ == "__main__":
    main()
