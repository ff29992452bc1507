"""Published and reproduced weights side by side, and what the published ones do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.bundle import weight_files
from ngf_hub.outcome import asr_limit
from ngf_hub.report import Rate, Report
from ngf_hub.reproducing.fetched import Fetched
from ngf_hub.reproducing.plan import Mine, dataset_word, is_demo
from ngf_hub.reproducing.result import Figure, WeightsCompared, compare_measurements

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ngf_hub.adapters import Classifier
    from ngf_hub.cli.arguments import TuneOptions
    from ngf_hub.data import PixelSet
    from ngf_hub.progress import Track
    from ngf_hub.triggers import Trigger

UNSEEN = "recovered/unseen"


def compare_weights(published: Path, names: Sequence[str], reproduced: Path) -> WeightsCompared:
    """Compare all tensors of two folders, one tensor in memory at a time.

    Args:
        published: The folder of the published weights.
        names: Its files that may be weights.
        reproduced: An output folder.

    Raises:
        ModelError: The weights of one are missing or broken.
    """
    import torch

    with ExitStack() as stack:
        one = _open(stack, published, weight_files(published, names))
        there = [path.name for path in reproduced.iterdir()]
        other = _open(stack, reproduced, weight_files(reproduced, there))
        differing = len(one.keys() ^ other.keys())
        comparable = differing == 0
        change = norm = 0.0
        for name in sorted(one.keys() & other.keys()):
            first, second = one[name].get_tensor(name), other[name].get_tensor(name)
            if second.is_floating_point():  # counts of batches say nothing of the size of weights
                norm += float(second.double().square().sum())
            if first.shape != second.shape or first.dtype != second.dtype:
                differing, comparable = differing + 1, False
            elif not torch.equal(first, second):
                differing += 1
                change += float((first.double() - second.double()).square().sum())
    difference = (change / norm) ** 0.5 if comparable and norm else None
    return WeightsCompared(equal=differing == 0, difference=difference, tensors=differing)


def _open(stack: ExitStack, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """The open file of each tensor."""
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for name in names:
        if name.endswith(".safetensors"):
            file = stack.enter_context(safe_open(folder / name, framework="pt"))
            found |= dict.fromkeys(file.keys(), file)
    return found


def measure_published(
    fetched: Fetched, reproduced: Path, mine: Mine, track: Track
) -> Iterator[Figure]:
    """What the published weights do on the images that judged, against what the report says.

    The trigger is the published one; where the method recovered triggers, those that the
    run recovered to check with must not work on the published weights either.

    Args:
        fetched: What was published.
        reproduced: The output folder of the run.
        mine: What the reader gave.
        track: Shows progress.

    Raises:
        NgfHubError: The weights cannot be loaded, or the images have no labels.
    """
    from ngf_hub.adapters import load_model
    from ngf_hub.cli.inputs import read_images
    from ngf_hub.devices import make_accelerator
    from ngf_hub.evaluation import measure
    from ngf_hub.triggers import load_folder
    from ngf_hub.triggers.folders import load_triggers

    report = fetched.report
    accelerator = make_accelerator(mine.device, report.cost.mixed_precision)
    classifier = load_model(fetched.folder).to(accelerator.device)
    options = _options(report, mine)
    judge = read_images(
        options, classifier, accelerator, seed=report.provenance.seed, track=track
    ).judge
    trigger = load_folder(fetched.folder / "trigger") if fetched.has_trigger else None
    measured = measure(classifier, judge, accelerator=accelerator, trigger=trigger, track=track)
    name = ", of the published weights"
    yield from compare_measurements(
        name, report.accuracy_name, report.current, measured, same_n=False
    )
    if report.cure is not None and report.cure.state in ("purified", "precaution"):
        triggers = load_triggers(reproduced / UNSEEN)
        rate = _pooled(classifier, judge, triggers, accelerator)
        claimed = report.cure.pooled(seen=False)
        yield Figure(
            name=f"ASR of recovered triggers not told of{name}",
            published=claimed[1] if claimed else None,
            reproduced=rate,
            agrees=rate.interval[0] <= asr_limit(classifier.num_classes),
        )


def _options(report: Report, mine: Mine) -> TuneOptions:
    """The recorded options of the images, as the run had them."""
    from dataclasses import fields

    from ngf_hub.cli.arguments import TuneOptions

    if is_demo(report):
        from ngf_hub.demo import SAMPLES

        return TuneOptions("digits", judge_samples=0, samples=SAMPLES)
    recorded = report.provenance.arguments
    known = {entry.name for entry in fields(TuneOptions)}
    given = {key: value for key, value in recorded.items() if key in known and value is not None}
    given["dataset"] = dataset_word(report, mine)
    given["dataset_revision"] = None if mine.dataset is not None else report.data.revision
    if report.kind == "attack":  # its tuning images are drawn in its own way, and do not judge
        given |= {"samples": 0, "split": None}
    return TuneOptions(**given)


def _pooled(
    classifier: Classifier,
    judge: PixelSet,
    triggers: Sequence[Trigger],
    accelerator: Accelerator,
) -> Rate:
    """ASR over some triggers together, on as many images as a cure is judged by."""
    from ngf_hub.evaluation import measure
    from ngf_hub.methods.cure.judging import IMAGES

    few = judge.select(range(min(IMAGES, len(judge))))
    count = n = 0
    for trigger in triggers:
        rate = measure(classifier, few, accelerator=accelerator, trigger=trigger).attack_success
        assert rate is not None
        count, n = count + rate.count, n + rate.n
    return Rate(count=count, n=n)
