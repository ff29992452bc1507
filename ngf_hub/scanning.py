"""The scan of one model: its files, every kind of evidence, the verdict, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ngf_hub.devices import make_accelerator
from ngf_hub.errors import NgfHubError
from ngf_hub.evaluation import default_batch_size, load_for
from ngf_hub.evidence.base import Case
from ngf_hub.evidence.collecting import make_kinds
from ngf_hub.progress import Track, silent
from ngf_hub.provenance import provenance
from ngf_hub.scan_report import ScanReport
from ngf_hub.scans.steps import (
    Scanned,
    Tell,
    are_dangerous,
    check_files,
    describe,
    look,
    not_loaded,
    pixels_of,
)
from ngf_hub.unchanged import unchanged

if TYPE_CHECKING:
    from ngf_hub.evidence.calibration import Calibration
    from ngf_hub.report import DataInfo

__all__ = ["Scanned", "scan", "scan_model"]


def scan(
    model: str | Path | nn.Module,
    images: Any = None,
    *,
    kinds: Sequence[str] | None = None,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
    seed: int = 0,
    batch_size: int | None = None,
    device: str | None = None,
    mixed_precision: str = "no",
    track: Track = silent,
    **load_options: Any,
) -> ScanReport:
    """Tell whether a model hides a backdoor, where, and how sure that is.

    >>> report = scan("org/model")  # doctest: +SKIP
    >>> report.verdict, report.target, report.confidence  # doctest: +SKIP

    The model is not changed. :func:`scan_model` gives the recovered triggers too.

    Args:
        model: Any ``nn.Module`` from images to logits, a :class:`Classifier`, a
            Hub id or a folder. The files of the two latter are checked before
            anything is loaded, and nothing is loaded where that could run code.
        images: A few hundred clean images, labels not needed: pixels
            (N, C, H, W) in [0, 1], or a dataset or sequence of images. Without
            them only the evidence that needs none is looked for.
        kinds: Names of :data:`ngf_hub.evidence.base.KINDS`; all if left out.
        revision: Branch, tag or commit of a Hub id.
        token: Instead of the one that Hub clients find by themselves.
        trust_remote_code: Let a transformers repository run its own code.
        seed: Everything random follows from it.
        batch_size: Images a forward pass; chosen by their size if left out.
        device: See :func:`ngf_hub.devices.make_accelerator`.
        mixed_precision: Likewise.
        track: Shows progress.
        load_options: Passed to :func:`ngf_hub.load_model` (``mean``, ``std``, ...).

    Raises:
        NgfHubError: Some of its kinds; each says what to do. A kind of evidence
            that fails is no error: its finding says so.
    """
    return scan_model(
        model,
        images,
        kinds=kinds,
        revision=revision,
        token=token,
        trust_remote_code=trust_remote_code,
        seed=seed,
        batch_size=batch_size,
        device=device,
        mixed_precision=mixed_precision,
        track=track,
        **load_options,
    ).report


def scan_model(
    model: str | Path | nn.Module,
    images: Any = None,
    *,
    info: DataInfo | None = None,
    kinds: Sequence[str] | None = None,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
    seed: int = 0,
    batch_size: int | None = None,
    device: str | None = None,
    mixed_precision: str = "no",
    calibration: Calibration | None = None,
    arguments: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
    track: Track = silent,
    tell: Tell | None = None,
    **load_options: Any,
) -> Scanned:
    """:func:`scan`, with what lies in memory: recovered triggers, sample images.

    Args:
        model: See :func:`scan`, and there for all that is not listed here.
        info: Where the images came from.
        calibration: The clean models that p-values come from; those that ship
            with the library if left out.
        arguments: What to write into the report so that the scan can be repeated.
        command: The command line, likewise.
        tell: Is given a line on how long a long scan will take, before it starts.

    Raises:
        NgfHubError: See :func:`scan`.
    """
    chosen = make_kinds(kinds)
    accelerator = make_accelerator(device, mixed_precision)
    origin = provenance(seed, arguments or {"kinds": list(chosen)}, command)
    report = ScanReport(name=_name(model), verdict="inconclusive", provenance=origin)
    if images is not None:
        report.data = info
    with unchanged(model) if isinstance(model, nn.Module) else nullcontext():
        with accelerator.main_process_first():
            checked = None
            if not isinstance(model, nn.Module):
                checked = check_files(report, str(model), revision, token, track)
                if not checked.safe_to_load:
                    return not_loaded(report, chosen, accelerator, checked.finding.summary)
                load_options |= {"revision": checked.commit or revision, "token": token}
                load_options["trust_remote_code"] = trust_remote_code
            try:
                classifier = load_for(images, model, **load_options)
            except NgfHubError as error:
                # That it cannot be loaded does not make dangerous files harmless.
                if checked is None or not are_dangerous(report, error):
                    raise
                return not_loaded(report, chosen, accelerator, str(error))
        classifier.to(accelerator.device).eval()
        case = Case(
            classifier=classifier,
            images=pixels_of(report, images, classifier, track),
            accelerator=accelerator,
            seed=seed,
            batch_size=batch_size or default_batch_size(classifier),
            track=track,
        )
        describe(report, classifier)
        return look(report, case, chosen, calibration, tell)


def _name(model: str | Path | nn.Module) -> str:
    from ngf_hub.adapters import Classifier

    if isinstance(model, Classifier):
        return model.source.name
    return type(model).__name__ if isinstance(model, nn.Module) else str(model)
