"""Seconds, share of time in forward passes, and peak memory on a GPU (or, small, on the CPU).

    python -m benchmarks.devices [--architecture resnet50 ... --images 500] [--precision bf16]
    python -m benchmarks.devices --quick  # a tiny network, few images, also on the CPU

For each network a forward pass over the images, NGF on the head, and unlearning of a trigger
by ``--steps`` steps in the layers that it chooses. The share in forward passes is that of the
time between a module's forward hooks, synchronised with the device, in a run of its own, since
synchronising costs. Weights and images are random: time depends on neither.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from benchmarks.large import peak_bytes
from ngf_hub.adapters import Classifier, load_model
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import default_batch_size
from ngf_hub.methods import Task, make_method
from ngf_hub.triggers import make_trigger

ARCHITECTURES = ["resnet50", "vit_base_patch16_224", "convnext_tiny"]
CLASSES = 10


@dataclass
class Measured:
    """What one job took.

    Attributes:
        seconds: Wall time, the device waited for.
        forward: The share of time in forward passes.
        peak: Bytes: of the device where it is a GPU, else the largest resident set so far.
    """

    seconds: float
    forward: float
    peak: int


class ForwardClock:
    """Adds up the time that a network spends in its forward passes.

    Args:
        network: Any module.
        settle: Waits for the device.
    """

    def __init__(self, network: nn.Module, settle: Callable[[], None]) -> None:
        self.seconds = 0.0
        self._settle = settle
        self._started = 0.0
        self._handles = [
            network.register_forward_pre_hook(self._start),
            network.register_forward_hook(self._stop),
        ]

    def _start(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._settle()
        self._started = time.perf_counter()

    def _stop(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        self._settle()
        self.seconds += time.perf_counter() - self._started

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()


def measured(
    classifier: Classifier, accelerator: Accelerator, work: Callable[[], object]
) -> Measured:
    """A job's seconds and peak in one run, and its share of forward passes in another."""
    device = accelerator.device
    on_gpu = device.type == "cuda"

    def settle() -> None:
        if on_gpu:
            torch.cuda.synchronize(device)

    def timed() -> float:
        settle()
        start = time.perf_counter()
        work()
        settle()
        return time.perf_counter() - start

    timed()  # allocates, and lets libraries choose their kernels
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    seconds = timed()
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else peak_bytes()
    clock = ForwardClock(classifier.network, settle)
    try:
        whole = timed()
    finally:
        clock.remove()
    return Measured(seconds, clock.seconds / whole, peak)


def jobs(
    classifier: Classifier, accelerator: Accelerator, images: int, steps: int
) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    device, size = accelerator.device, default_batch_size(classifier)
    shape = (images, classifier.preprocessing.channels, *classifier.preprocessing.size)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    data = PixelSet(pixels, torch.arange(images) % CLASSES)
    trigger = make_trigger(f"patch:pattern=white,size={max(2, shape[-1] // 10)}", 0)
    weights = {key: value.clone() for key, value in classifier.state_dict().items()}

    def forward() -> None:
        with torch.inference_mode(), accelerator.autocast():
            for batch, _, _ in data.batches(size, device):
                classifier(batch)

    def tune(name: str, layer: str, **options: float) -> None:
        classifier.load_state_dict(weights)
        layers = classifier.select_layers(layer)
        task = Task(classifier, layers, data, accelerator, 0, size)
        if name == "unlearn":
            task = replace(task, triggers=(trigger,), choose=True)
        make_method(name, options).tune(task)

    return {
        "forward pass": forward,
        "ngf, head": lambda: tune("ngf", "head"),
        f"unlearn, {steps} steps": lambda: tune("unlearn", "*", steps=steps),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--precision", default="no")
    parser.add_argument("--device")
    parser.add_argument("--quick", action="store_true", help="A tiny network, few images.")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.architecture, arguments.images, arguments.steps = ["test_resnet"], 16, 2
    accelerator = make_accelerator(arguments.device, arguments.precision)
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(
        f"{name}, precision {arguments.precision}, {arguments.images} images, {CLASSES} classes\n"
    )
    print("| network | pixels | job | seconds | in forward passes | peak memory, GiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for architecture in arguments.architecture:
        import timm

        torch.manual_seed(0)
        classifier = load_model(timm.create_model(architecture, num_classes=CLASSES)).to(device)
        side = classifier.preprocessing.size[0]
        todo = jobs(classifier, accelerator, arguments.images, arguments.steps)
        for job, work in todo.items():
            found = measured(classifier, accelerator, work)
            figures = f"{found.seconds:.2f} | {found.forward:.0%} | {found.peak / 2**30:.2f}"
            print(f"| {architecture} | {side} | {job} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
