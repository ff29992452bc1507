"""Peak memory and seconds of a ViT-L/16-sized network (random weights) at 224 pixels.

    python -m benchmarks.large [--jobs forward ngf unlearn search --images 64]

Every job runs in a process of its own, whose largest resident set the kernel keeps
(getrusage); the network and what PyTorch itself takes are in it. ``unlearn`` ranks all layers
by K-FAC and tunes two of them; ``search`` takes one step of each stage of every kind of trigger
search, since memory does not depend on how many follow. ``search`` draws from 20 images and
``unlearn`` tunes with four, whatever ``--images`` says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from ngf_hub.adapters import Classifier, load_model
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import default_batch_size
from ngf_hub.evidence.base import Case
from ngf_hub.evidence.collecting import make_kinds
from ngf_hub.evidence.recovered import TriggerRecovery
from ngf_hub.methods.cure.suspicion import searching_kinds
from ngf_hub.pipeline import purify
from ngf_hub.recovery import patch
from ngf_hub.triggers import make_trigger

ARCHITECTURE, CLASSES = "vit_large_patch16_224", 4
FEW = 4
"""Images that ``unlearn`` tunes with and that measure: its memory does not depend on them."""
SEARCHED = 20
"""Images that the search draws its batches from; the batches are as large as ever."""


def network(architecture: str) -> Classifier:
    """A network of timm with random weights."""
    import timm

    torch.manual_seed(0)
    return load_model(timm.create_model(architecture, num_classes=CLASSES))


def images(classifier: Classifier, count: int) -> PixelSet:
    """Random images: neither time nor memory depends on what they show."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, classifier.preprocessing.channels, *classifier.preprocessing.size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return PixelSet(pixels, torch.arange(count) % CLASSES)


def forward(classifier: Classifier, count: int) -> None:
    """A bare forward pass over all images."""
    with torch.inference_mode():
        size = default_batch_size(classifier)
        for pixels, _, _ in images(classifier, count).batches(size, classifier.device):
            classifier(pixels)


def ngf(classifier: Classifier, count: int) -> None:
    """Natural Gradient Fine-tuning of the head, measured before and after."""
    tune = images(classifier, count)
    judge = tune.select(range(min(FEW, count)))
    purify(classifier, tune, judge=judge, method="ngf")


def unlearn(classifier: Classifier, count: int) -> None:
    """All layers ranked, two tuned by K-FAC for one step."""
    few = images(classifier, min(FEW, count))
    trigger = make_trigger("patch:pattern=white,size=16", 0)
    judge = few.select(range(1))
    options = {"steps": 1}
    purify(classifier, few, judge=judge, method="unlearn", forget=[trigger], options=options)


def search(classifier: Classifier, count: int) -> None:
    """A step of each stage of the searches for triggers, batches as large as ever."""
    patch.STEPS = 1
    case = Case(
        classifier,
        images(classifier, SEARCHED),
        make_accelerator(),
        batch_size=default_batch_size(classifier),
    )
    for kind in make_kinds(searching_kinds()).values():
        if not isinstance(kind, TriggerRecovery):
            continue  # forward passes alone take less
        for stage in ("first", "last"):
            setattr(kind, stage, dataclasses.replace(getattr(kind, stage), steps=1))
        kind.collect(case)


JOBS: dict[str, Callable[[Classifier, int], None]] = {
    "forward": forward,
    "ngf": ngf,
    "unlearn": unlearn,
    "search": search,
}


def peak_bytes() -> int:
    """The largest resident set of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run(job: str, architecture: str, count: int) -> dict[str, float]:
    """One job in this process: seconds without loading, and peak bytes."""
    classifier = network(architecture)
    loaded = peak_bytes()
    start = time.perf_counter()
    JOBS[job](classifier, count)
    return {"seconds": time.perf_counter() - start, "loaded": loaded, "peak": peak_bytes()}


def measured(job: str, architecture: str, count: int) -> dict[str, float]:
    """One job in a process of its own."""
    words = ["--jobs", job, "--architecture", architecture, "--images", str(count), "--here"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.large", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--architecture", default=ARCHITECTURE)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--here", action="store_true", help="One job in this process, as JSON.")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(run(arguments.jobs[0], arguments.architecture, arguments.images)))
        return
    print("| job | images | seconds | peak memory, GiB | with the network alone, GiB |")
    print("| --- | --- | --- | --- | --- |")
    for job in arguments.jobs:
        found = measured(job, arguments.architecture, arguments.images)
        memory = " | ".join(f"{found[key] / 2**30:.1f}" for key in ("peak", "loaded"))
        print(f"| {job} | {arguments.images} | {found['seconds']:.0f} | {memory} |", flush=True)


if __name__ == "__main__":
    main()
