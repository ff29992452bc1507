"""What NGF on the head costs beside one bare forward pass; start-up; the demo.

    python -m benchmarks.overhead [--architecture resnet50 --images 500]

Weights are random and so are the images: time depends on neither.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch

from ngf_hub.adapters import load_model
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import default_batch_size
from ngf_hub.methods import Task, make_method


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def head_against_forward(architecture: str, images: int, side: int) -> tuple[float, float, int]:
    """Seconds of one bare forward pass, of NGF on the head, and the number of classes."""
    import timm

    torch.manual_seed(0)
    accelerator = make_accelerator()
    classifier = load_model(timm.create_model(architecture)).to(accelerator.device)
    pixels = torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8)
    classes = classifier.num_classes
    data = PixelSet(pixels, torch.randint(0, classes, (images,)))
    size = default_batch_size(classifier)
    layers = classifier.select_layers("head")

    def forward() -> None:
        with torch.inference_mode():
            for batch, _, _ in data.batches(size, accelerator.device):
                classifier(batch)
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()

    def tune() -> None:
        make_method("ngf").tune(Task(classifier, layers, data, accelerator, 0, size))

    forward()  # warms up
    # In turns, so that a busy moment of the machine meets both.
    bare, tuned = zip(*((seconds(forward), seconds(tune)) for _ in range(3)), strict=True)
    return min(bare), min(tuned), classes


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--side", type=int, default=224)
    arguments = parser.parse_args()
    print("| network | images | classes | one forward pass, s | NGF on the head, s | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for architecture in arguments.architecture:
        bare, tuned, classes = head_against_forward(architecture, arguments.images, arguments.side)
        row = f"{bare:.1f} | {tuned:.1f} | {tuned / bare:.2f}"
        print(f"| {architecture} | {arguments.images} | {classes} | {row} |", flush=True)
    command = [sys.executable, "-m", "ngf_hub.cli"]
    help_seconds = min(
        seconds(lambda: subprocess.run([*command, "--help"], capture_output=True, check=True))
        for _ in range(5)
    )
    print(f"\n`ngf-hub --help`: {help_seconds:.2f} s (best of 5)")
    with tempfile.TemporaryDirectory() as folder:
        demo_seconds = seconds(
            lambda: subprocess.run([*command, "demo"], cwd=folder, capture_output=True, check=True)
        )
    print(f"`ngf-hub demo`: {demo_seconds:.0f} s")


if __name__ == "__main__":
    main()
