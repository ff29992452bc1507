"""The main job: a model and clean images in, a purified model and its report out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ngf_hub.adapters import Classifier
from ngf_hub.data import as_pixels
from ngf_hub.devices import make_accelerator
from ngf_hub.errors import DataError
from ngf_hub.evaluation import default_batch_size, load_for, measure
from ngf_hub.methods import Task, make_method
from ngf_hub.methods.cure.judging import judge_cure
from ngf_hub.methods.forget import check_fit, check_heeded, is_among
from ngf_hub.methods.scope import is_whole, running_statistics
from ngf_hub.methods.teacher import softmax_of
from ngf_hub.output import write_output
from ngf_hub.progress import Track, silent
from ngf_hub.provenance import cost, model_info, provenance, trigger_info
from ngf_hub.report import DataInfo, Measurement, MethodInfo, Report, SplitInfo
from ngf_hub.spectrum import compare_spectra
from ngf_hub.unchanged import State

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ngf_hub.data import PixelSet
    from ngf_hub.triggers import Trigger

SEEN = (
    "ASR was measured with a trigger that the method was told to forget; "
    "another one may still work."
)


AUTO = "auto"
"""The layer that a method chooses itself."""


@dataclass
class Clean:
    """Clean images in the model's own preprocessing.

    Attributes:
        tune: Images that the method may see.
        judge: Other images, with labels, that only measure.
        info: Where they came from.
    """

    tune: PixelSet
    judge: PixelSet
    info: DataInfo


@dataclass
class Purified:
    """A purified model with what is known of it.

    Attributes:
        classifier: The model behind the common interface.
        report: Every figure.
        trigger: What ASR was measured with.
        samples: A few judging images, for the picture of the trigger.
        recovered: Triggers that the method recovered itself: those that it was told to
            forget (``seen``), and those that it was not told of (``unseen``).
    """

    classifier: Classifier
    report: Report
    trigger: Trigger | None = None
    samples: PixelSet | None = field(default=None, repr=False)
    recovered: dict[str, list[Trigger]] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> nn.Module:
        """The purified network, of its own family's class."""
        return self.classifier.network

    def save(self, folder: str | Path) -> Path:
        """Write weights, config, report, card, plots and trigger into ``folder``.

        The folder appears whole or not at all. See :func:`ngf_hub.output.write_output`.
        """
        return write_output(
            Path(folder),
            self.classifier,
            self.report,
            trigger=self.trigger,
            recovered=self.recovered,
            samples=self.samples,
        )


def purify(
    model: str | Path | nn.Module,
    images: Any,
    labels: Tensor | Sequence[int] | None = None,
    *,
    judge: Any = None,
    judge_labels: Tensor | Sequence[int] | None = None,
    method: str = "auto",
    layer: str = "auto",
    options: Mapping[str, Any] | None = None,
    trigger: Trigger | None = None,
    forget: Sequence[Trigger] = (),
    seed: int = 0,
    batch_size: int | None = None,
    device: str | None = None,
    mixed_precision: str = "no",
    track: Track = silent,
    **load_options: Any,
) -> Purified:
    """Remove a backdoor from an image classifier.

    >>> result = purify(network, images, labels)  # doctest: +SKIP
    >>> result.save("purified")  # doctest: +SKIP

    A model object is changed in place; copy it first to keep the original.

    Args:
        model: Any ``nn.Module`` from images to logits, a :class:`Classifier`, a
            Hub id or a folder.
        images: Clean images that tune: pixels (N, C, H, W) in [0, 1], or a
            dataset or sequence of ``(image, label)``. For a dataset of the
            Hub by its name see :func:`ngf_hub.data.load_images`.
        labels: Class indices (N,), where ``images`` does not bring them. Some methods
            (``auto``, ``unlearn``) need none; without labels to judge by, accuracy is
            agreement with the model as it was.
        judge: Further images that measure. Left out, a fifth of ``images``,
            drawn by ``seed``, is kept from tuning for this.
        judge_labels: Their class indices.
        method: A name of :data:`ngf_hub.methods.METHODS`.
        layer: ``head``, a module name, a glob over module names, or ``auto``: what the
            method's paper tunes, or what the method itself chooses.
        options: Options of the method.
        trigger: Measures ASR, if known; the method does not see it.
        forget: The triggers that the method makes the model forget, if it is one
            that needs them, such as those that a scan recovered.
        seed: Everything random follows from it.
        batch_size: Images a forward pass; chosen by their size if left out.
        device: See :func:`ngf_hub.devices.make_accelerator`.
        mixed_precision: Likewise.
        track: Shows progress.
        load_options: Passed to :func:`ngf_hub.load_model` (``mean``, ``std``, ...).

    Raises:
        NgfHubError: Some of its kinds; each says what to do.
    """
    accelerator = make_accelerator(device, mixed_precision)
    classifier = load_for(images, model, **load_options)
    tune = as_pixels(images, labels, preprocessing=classifier.preprocessing)
    if judge is None:
        tune, held_out = _hold_out(tune, seed)
    else:
        held_out = as_pixels(judge, judge_labels, preprocessing=classifier.preprocessing)
    info = DataInfo(
        name="given in memory",
        splits=[
            SplitInfo(split="given", n=len(tune), use="tune"),
            SplitInfo(split="given", n=len(held_out), use="judge"),
        ],
    )
    return purify_classifier(
        classifier,
        Clean(tune, held_out, info),
        accelerator=accelerator,
        method=method,
        layer=layer,
        options=options,
        trigger=trigger,
        forget=forget,
        seed=seed,
        batch_size=batch_size,
        track=track,
    )


def purify_classifier(
    classifier: Classifier,
    clean: Clean,
    *,
    accelerator: Accelerator,
    method: str = "auto",
    layer: str = "auto",
    options: Mapping[str, Any] | None = None,
    trigger: Trigger | None = None,
    forget: Sequence[Trigger] = (),
    trigger_origin: str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
    track: Track = silent,
) -> Purified:
    """Measure, tune and measure again: what :func:`purify` and the command line share.

    Args:
        classifier: Changed in place.
        clean: Images that tune and judge.
        trigger_origin: See :class:`ngf_hub.report.TriggerInfo`; the trigger's own
            if left out.
        arguments: What to write into the report so that the run can be repeated.
        command: The command line, likewise.

    Raises:
        NgfHubError: The weights are then those from before.
    """
    from accelerate.utils import set_seed

    set_seed(seed)
    chosen = make_method(method, options)
    check_heeded(chosen, forget)
    check_fit(forget, classifier)
    own_choice = layer == AUTO
    layers = classifier.select_layers(chosen.default_layer if own_choice else layer)
    classifier.to(accelerator.device)
    size = batch_size or default_batch_size(classifier)
    seconds: dict[str, float] = {}

    def judged(description: str, key: str) -> Measurement:
        start = time.perf_counter()
        result = measure(
            classifier,
            clean.judge,
            accelerator=accelerator,
            trigger=trigger,
            batch_size=size,
            track=track,
            description=description,
        )
        seconds[key] = time.perf_counter() - start
        return result

    if len(clean.judge) == 0:
        raise DataError("No images are left to judge by.", "Give more images, or fewer to tune.")
    if clean.judge.labels is None:
        clean = _labelled_by(classifier, clean, accelerator, size)
    before = judged("Measuring before", "measure_before")
    original = State(classifier)
    task = Task(
        classifier,
        layers,
        clean.tune,
        accelerator,
        seed,
        size,
        track,
        tuple(forget),
        choose=own_choice,
    )
    try:
        start = time.perf_counter()
        outcome = chosen.tune(task)
        seconds["tune"] = time.perf_counter() - start
        if outcome.layers is not None:
            layers = [entry for entry in layers if entry.name in outcome.layers]
        # Where neither user nor method chose layers, norms and embeddings may have changed too.
        everything = outcome.layers is None and is_whole(task)
        tuned = list(classifier.modules()) if everything else [entry.module for entry in layers]
        classifier.round_to_storage()
        after = judged("Measuring after", "measure_after") if outcome.steps else before
        if outcome.cure is not None:
            start = time.perf_counter()
            judge_cure(outcome, replace(task, pixels=clean.judge), original)
            seconds["estimate"] = time.perf_counter() - start
        spectrum = None
        if outcome.steps:
            start = time.perf_counter()
            changed = replace(task, layers=layers, pixels=clean.judge)
            spectrum = compare_spectra(changed, original)
            seconds["spectrum"] = time.perf_counter() - start
        report = Report(
            kind="purify",
            model=model_info(classifier),
            data=clean.info,
            trigger=trigger_info(trigger, trigger_origin or trigger.origin, classifier)
            if trigger
            else None,
            method=MethodInfo(
                name=chosen.name,
                citation=chosen.citation,
                layers=[entry.name for entry in layers],
                options=outcome.options or chosen.options(),
                steps=outcome.steps,
                loss=outcome.losses,
                change=original.relative_change(tuned),
                diagnostics=outcome.diagnostics,
                batch_norm=running_statistics(chosen, task),
            ),
            cure=outcome.cure,
            spectrum=spectrum,
            before=before,
            after=after,
            cost=cost(accelerator, seconds),
            provenance=provenance(seed, arguments or {"method": method, "layer": layer}, command),
            warnings=[SEEN] if trigger and is_among(trigger, forget) else [],
        )
    except BaseException:
        original.restore()
        raise
    samples = clean.judge.select(range(min(64, len(clean.judge))))
    recovered = {"seen": list(outcome.seen), "unseen": list(outcome.unseen)}
    return Purified(classifier, report, trigger, samples, recovered)


def _labelled_by(
    classifier: Classifier, clean: Clean, accelerator: Accelerator, batch_size: int
) -> Clean:
    """Judging images with what the untouched model says of them for labels."""
    judge = clean.judge.select(range(len(clean.judge)))
    task = Task(classifier, [], clean.judge, accelerator, batch_size=batch_size)
    judge.labels = softmax_of(task).argmax(1).cpu()
    return Clean(clean.tune, judge, clean.info.model_copy(update={"unlabelled": True}))


def _hold_out(pixels: PixelSet, seed: int) -> tuple[PixelSet, PixelSet]:
    """Four fifths that tune and one fifth that judges, drawn by the seed."""
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed)).tolist()
    judges = len(pixels) // 5
    return pixels.select(order[judges:]), pixels.select(order[:judges])
