"""What it saves to search for patches of all classes at once, and what it costs by classes.

    NGF_HUB_SHARED=... python -m benchmarks.recovery_speed [--threads 2] [--part NAME]
    nice python -m benchmarks.recovery_speed --part many --threads 1 [--evidence patch ...]

- ``together``: on a backdoored WRN-16-1, all ten classes in common batches,
  against one class after another with Neural Cleanse's schedule until the
  suspect's mask is as small as the common search got it; in one run.
- ``classes``: the same search with random weights and 10 and 43 classes.
- ``scan``: a whole scan of the WRN-16-1.
- ``large``: the start of a search of 1,000 classes through a ResNet-50 at 224
  pixels with random weights: estimate, time of one pass, peak memory.
- ``many`` (not by default, since it takes from half an hour up): a whole scan of
  that ResNet-50 from a folder, in bf16 on Imagenette: estimate, time, peak memory.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch.nn import functional

from benchmarks.thirdparty import load_entry, shared_folder
from ngf_hub import Classifier, load_model
from ngf_hub.data import PixelSet, load_images
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import default_batch_size
from ngf_hub.evidence.base import Case
from ngf_hub.evidence.recovered import PatchRecovery
from ngf_hub.recovery.patch import PatchSpace
from ngf_hub.recovery.pool import make_pools
from ngf_hub.recovery.search import Setting, search

IMAGES = 300
T = TypeVar("T")


def cifar_images(classifier: Classifier) -> PixelSet:
    """Unlabelled test images."""
    folder = str(shared_folder() / "data" / "cifar10")
    drawn = load_images(folder, split="test", judge_split="train", samples=IMAGES, seed=0)
    images, _ = drawn.pixels_for(classifier, by_index=True, allow_subset=True)
    images.labels = None
    return images


def setting_of(classifier: Classifier, images: PixelSet) -> Setting:
    """What a search runs on, seed 0."""
    classifier.requires_grad_(False)
    pool, _ = make_pools(classifier, images, batch_size=128, seed=0)
    generator = torch.Generator().manual_seed(0)
    return Setting(classifier, pool, make_accelerator("cpu"), 128, generator)


def one_class(setting: Setting, target: int, goal: float, steps: int = 600) -> tuple[float, int]:
    """Neural Cleanse's search for one class: Adam 0.1, batches of 32, its own schedule of λ.

    Returns:
        The smallest mask that worked, and the steps until it was below the goal.
    """
    shape = setting.pool.pixels.shape[1:]
    state = PatchSpace.start(1, (shape[0], shape[1], shape[2]), setting.generator)
    mask, pattern = (tensor.requires_grad_(True) for tensor in state[:2])
    optimiser = torch.optim.Adam([mask, pattern], lr=0.1, betas=(0.5, 0.9))
    weight, up, down, best, running = 1e-3, 0, 0, float("inf"), 0.0
    targets = torch.tensor([target])
    for step in range(steps):
        pixels = setting.pool.draw(targets, 32, setting.generator)[0]
        m, p = torch.sigmoid(2 * mask), torch.sigmoid(2 * pattern)
        logits = setting.classifier((1 - m) * pixels + m * p)
        size = m.sum()
        loss = functional.cross_entropy(logits, targets.expand(32)) + weight * size
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        hits = (logits.argmax(1) == target).float().mean().item()
        running = 0.8 * running + 0.2 * hits
        if running > 0.9:
            best = min(best, float(size))
        # λ is raised by half after five good batches, and lowered after five bad ones.
        up, down = (up + 1, 0) if hits >= 0.97 else (0, down + 1)
        if up >= 5:
            weight, up = weight * 1.5, 0
        if down >= 5:
            weight, down = weight / 1.5**1.5, 0
        if best <= goal:
            return best, step + 1
    return best, steps


def together() -> None:
    """All classes at once against one after another."""
    classifier, trigger = load_entry("wrn-grid")
    assert trigger is not None
    assert trigger.target is not None
    images = cifar_images(classifier)
    setting = setting_of(classifier, images)
    start = time.perf_counter()
    found = search(PatchSpace, setting, torch.arange(10), PatchRecovery().stages(10))
    common = time.perf_counter() - start
    size = float(found.sizes[0])
    print(f"All at once: {common:.1f} s; class {int(found.targets[0])}, mask {size:.2f} pixels.")
    setting = setting_of(classifier, images)
    start = time.perf_counter()
    reached, steps = one_class(setting, trigger.target, size)
    for target in range(10):
        if target != trigger.target:
            # Without knowing the suspect every class is searched as long.
            one_class(setting, target, 0.0, steps)
    alone = time.perf_counter() - start
    print(f"One after another: {alone:.1f} s; mask {reached:.2f} pixels after {steps} steps each.")
    print(f"Ratio {alone / common:.1f}.")


def random_classifier(name: str, classes: int, side: int) -> Classifier:
    """A network of timm with random weights."""
    import timm

    torch.manual_seed(0)
    overlay = {"input_size": (3, side, side), "crop_pct": 1.0}
    network = timm.create_model(name, num_classes=classes, pretrained_cfg_overlay=overlay)
    return load_model(network)


def classes() -> None:
    """10 and 43 classes, everything else equal."""
    generator = torch.Generator().manual_seed(0)
    images = PixelSet(torch.rand(IMAGES, 3, 32, 32, generator=generator))
    seconds = {}
    for count in (10, 43, 10, 43):
        classifier = random_classifier("test_resnet", count, 32)
        setting = setting_of(classifier, images)
        start = time.perf_counter()
        search(PatchSpace, setting, torch.arange(count), PatchRecovery().stages(count))
        seconds[count] = min(seconds.get(count, float("inf")), time.perf_counter() - start)
    print(
        f"10 classes {seconds[10]:.1f} s, 43 classes {seconds[43]:.1f} s: "
        f"{seconds[43] / seconds[10]:.2f} times."
    )


def scan() -> None:
    """Every kind of evidence."""
    from ngf_hub.scanning import scan_model

    classifier, _ = load_entry("wrn-grid")
    images = cifar_images(classifier)
    start = time.perf_counter()
    report = scan_model(classifier, images).report
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.cost.seconds.items())
    print(
        f"Scan of WRN-16-1: {time.perf_counter() - start:.1f} s ({parts}); "
        f"{report.verdict}, class {report.target}, p {report.p_value}."
    )


def large(passes: int = 40) -> None:
    """1,000 classes at 224 pixels: what is said before, and what the passes then take."""
    classifier = random_classifier("resnet50", 1000, 224)
    generator = torch.Generator().manual_seed(0)
    images = PixelSet(torch.rand(60, 3, 224, 224, generator=generator))
    size = default_batch_size(classifier)
    case = Case(classifier, images, make_accelerator("cpu"), batch_size=size)
    evidence = PatchRecovery()
    estimate = evidence.seconds(case)
    assert estimate is not None
    print(f"{evidence.evaluations(1000):,} images forward and backward; estimate {estimate:.0f} s.")
    done = 0
    start = time.perf_counter()

    class Enough(Exception):
        """Ends the search after so many passes."""

    def track(items: Iterable[int], description: str, total: int | None = None) -> Iterator[int]:
        nonlocal done, start
        for item in items:
            if done == 0:
                start = time.perf_counter()
            if done == passes:
                raise Enough
            done += 1
            yield item

    try:
        evidence.collect(
            Case(classifier, images, case.accelerator, batch_size=size, track=track)  # type: ignore[arg-type]
        )
    except Enough:
        seconds = time.perf_counter() - start
    stage = evidence.stages(1000)[0]
    each = seconds / (passes * (size // stage.images) * stage.images)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    total = each * evidence.evaluations(1000)
    print(
        f"{passes} passes: {each * 1000:.0f} ms an image, so {total:.0f} s in all; "
        f"peak memory {peak:.1f} GiB."
    )


def tell_tenths(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """A :class:`Track` that prints a line after every tenth of something long."""
    count = len(items) if isinstance(items, Sized) else total or 0
    start = time.perf_counter()
    for number, item in enumerate(items, 1):
        yield item
        if count >= 100 and number % (count // 10) == 0:
            seconds = time.perf_counter() - start
            print(f"  {description}: {number} of {count}, {seconds:.0f} s", flush=True)


def many(kinds: Sequence[str], precision: str, samples: int) -> None:
    """A scan with 1,000 classes at 224 pixels to its end.

    Args:
        kinds: Of evidence.
        precision: ``no`` or ``bf16``.
        samples: Images to scan with.
    """
    from ngf_hub.data import load_unlabelled
    from ngf_hub.scanning import scan_model

    def told(line: str) -> None:
        print(line, flush=True)

    dataset = str(shared_folder() / "data" / "imagenette")
    images, info = load_unlabelled(dataset, samples=samples, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50"
        path.mkdir()
        random_classifier("resnet50", 1000, 224).save(path)
        start, busy = time.perf_counter(), time.process_time()
        report = scan_model(
            str(path),
            images,
            info=info,
            kinds=kinds,
            device="cpu",
            mixed_precision=precision,
            track=tell_tenths,
            tell=told,
        ).report
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    for finding in report.findings:
        print(f"- {finding.kind}: {finding.summary} {finding.details.get('sizes', '')}")
    parts = ", ".join(f"{name} {taken:.0f}" for name, taken in report.cost.seconds.items())
    peak = (report.cost.peak_memory_bytes or 0) / 2**30
    print(
        f"Scan of ResNet-50, 1,000 classes, 224 pixels, {samples} images, {precision}: "
        f"{seconds:.0f} s ({parts}), {busy:.0f} s of them on the CPU; peak memory {peak:.1f} GiB; "
        f"{report.verdict}. {report.summary}"
    )


PARTS = {"together": together, "classes": classes, "scan": scan, "large": large}


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--part", choices=[*PARTS, "many"], nargs="+", default=list(PARTS))
    parser.add_argument("--evidence", nargs="+", default=["patch"], help="Kinds, of many.")
    parser.add_argument("--precision", choices=["no", "bf16"], default="bf16", help="Of many.")
    parser.add_argument("--samples", type=int, default=100, help="Images, of many.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    whole = partial(many, arguments.evidence, arguments.precision, arguments.samples)
    for part in arguments.part:
        {**PARTS, "many": whole}[part]()


if __name__ == "__main__":
    main()
