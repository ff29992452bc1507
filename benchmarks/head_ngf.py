"""Time, iterations and memory of Natural Gradient Fine-tuning of a softmax head.

    python -m benchmarks.head_ngf [--device cuda] [--threads 2] [--steps 10] [--sizes 5000x10x512]

The features are those of a rectified low-rank model with noise, with classes
that overlap; the head is the linear discriminant of another sample, its
temperature calibrated. So the softmax is as sharp as a trained network's.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
from dataclasses import replace

import psutil
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from ngf_hub.curvature import HeadFit, natural_gradient_head
from ngf_hub.curvature.preconditioners import choose_preconditioner

SIZES = (
    "500x10x64",
    "500x10x512",
    "5000x10x512",
    "500x43x512",
    "5000x200x512",
    "20000x100x2048",
    "5000x1000x2048",
)


def make_problem(n: int, classes: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features (n, width + 1) with a constant 1, labels, and a head (classes, width + 1)."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    rank = min(128, width // 2)
    spectrum = torch.arange(1, rank + 1) ** -0.5
    separation = 0.3 + 0.1 * math.log10(classes)  # classes overlap, however many there are
    prototypes = separation * spectrum * normal(classes, rank)
    mixing, bias = 3 * normal(rank, width) / rank**0.5, 0.3 * normal(width) - 0.3

    def sample(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(classes, (count,), generator=generator)
        latent = prototypes[labels] + spectrum * normal(count, rank)
        return (latent @ mixing + bias + 0.3 * normal(count, width)).relu(), labels

    h, labels = sample(max(20 * classes, 2 * width))
    counts = torch.bincount(labels, minlength=classes).clamp(min=1).unsqueeze(1)
    means = torch.zeros(classes, width).index_add_(0, labels, h) / counts
    residual = h - means[labels]
    covariance = residual.T @ residual / len(h)
    covariance.diagonal().add_(0.1 * covariance.diagonal().mean())
    head = torch.linalg.solve(covariance, means.T).T
    head = torch.cat([head, -0.5 * (head * means).sum(1, keepdim=True)], dim=1)
    head -= head.mean(0)

    h, labels = sample(n)
    h = torch.cat([h, torch.ones(n, 1)], dim=1)
    logits = h @ head.T
    temperatures = torch.logspace(-2, 0, 15).tolist()
    best = min(temperatures, key=lambda t: functional.cross_entropy(t * logits, labels).item())
    return h, labels, best * head


class PeakMemory:
    """Within it, the most memory that came on top of what was there at entry, in bytes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak = 0
        self._stop = threading.Event()

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._start = torch.cuda.memory_allocated(self.device)
        else:
            self._process = psutil.Process()
            self._start = self._process.memory_info().rss
            self._thread = threading.Thread(target=self._watch)
            self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, self._process.memory_info().rss - self._start)

    def __exit__(self, *error: object) -> None:
        if self.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self.device) - self._start
        else:
            self._stop.set()
            self._thread.join()


def measure(
    problem: tuple[Tensor, Tensor, Tensor],
    device_name: str,
    threads: int,
    settings: dict[str, float],
) -> tuple[HeadFit, float, int, float]:
    """Fit a head: the fit, its seconds, its peak memory in bytes and the accuracy after it.

    Runs in a fresh process, because memory that an earlier fit freed would be
    used again without being seen.
    """
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    h, labels, head = (tensor.to(device) for tensor in problem)
    float(h.sum())  # bring what the processes share into this one's memory
    with PeakMemory(device) as memory:
        start = time.perf_counter()
        fit = natural_gradient_head(h, labels, head, **settings)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
    accuracy = (h @ fit.weights.T).argmax(1).eq(labels).float().mean().item()
    return replace(fit, weights=torch.empty(0)), seconds, memory.peak, accuracy


def main() -> None:
    """Fit a head of each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--damping", type=float, default=1e-3)
    parser.add_argument("--sizes", nargs="*", default=SIZES, metavar="IMAGESxCLASSESxFEATURES")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = {"steps": arguments.steps, "damping": arguments.damping}

    table = Table(
        title=f"Head NGF, float32, damping {arguments.damping:g}, on {arguments.device}, "
        f"{arguments.threads} threads"
    )
    columns = ("images", "classes", "features", "preconditioner", "steps", "CG iterations")
    for name in (*columns, "seconds", "extra memory", "loss before", "after", "accuracy after"):
        table.add_column(name, justify="right")
    for size in arguments.sizes:
        n, classes, width = map(int, size.split("x"))
        problem = make_problem(n, classes, width)
        with torch.multiprocessing.get_context("spawn").Pool(1) as pool:
            fit, seconds, peak, accuracy = pool.apply(
                measure, (problem, arguments.device, arguments.threads, settings)
            )
        table.add_row(
            *(f"{n:,}", f"{classes:,}", f"{width:,}"),
            choose_preconditioner(n, *problem[2].shape),
            *(str(len(fit.steps)), str(fit.cg_iterations), f"{seconds:.2f}"),
            f"{peak / 2**20:.0f} MiB",
            *(f"{fit.losses[0]:.3f}", f"{fit.losses[-1]:.3f}", f"{accuracy:.3f}"),
        )
        print(f"{size}: {seconds:.2f} s", file=sys.stderr)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
