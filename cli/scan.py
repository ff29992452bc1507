"""``ngf-hub scan``: does a model hide a backdoor, where, and how sure is that?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ngf_hub.cli.arguments import OUTPUT, Json, RunOptions, grouped
from ngf_hub.cli.console import note, progress
from ngf_hub.cli.scan_fleet import shown_fleet
from ngf_hub.cli.scan_options import FleetOptions, Format, ImagesOptions, ModelsOptions
from ngf_hub.cli.scan_view import in_order, show_failures, show_results, tell_results
from ngf_hub.errors import NgfHubError
from ngf_hub.paths import existing
from ngf_hub.text import redact

if TYPE_CHECKING:
    from ngf_hub.data import ImageSet
    from ngf_hub.progress import Track
    from ngf_hub.report import DataInfo
    from ngf_hub.scans.engines.base import Engine
    from ngf_hub.scans.jobs import Wanted

EVIDENCE = "Evidence"
FLAGGED, FAILED = 1, 2


@grouped
def command(
    source: ModelsOptions = ModelsOptions(),
    data: ImagesOptions = ImagesOptions(),
    evidence: Annotated[
        list[str] | None,
        typer.Option(
            "--evidence",
            "-e",
            metavar="KIND",
            help="Look for this kind only, such as patch; may be repeated, and an unknown one "
            "lists all. The files are always looked at.",
            rich_help_panel=EVIDENCE,
        ),
    ] = None,
    rescan: Annotated[
        bool,
        typer.Option(
            "--rescan",
            help="Scan again what an earlier run scanned in the same way.",
            rich_help_panel=EVIDENCE,
        ),
    ] = False,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A file (.json, .sarif, .html), or a folder for report, page, recovered triggers "
            "and their pictures. May be repeated.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    format: Annotated[
        Format, typer.Option(help="What to print.", rich_help_panel=OUTPUT)
    ] = Format.table,
    fleet: FleetOptions = FleetOptions(),
    run: RunOptions = RunOptions(),
    json: Json = False,
) -> None:
    """Tell whether MODELs hide a backdoor, where, and how sure that is.

    Exit code 1: one was flagged. 0: none was. 2: an error, or one could not be scanned.
    """
    from ngf_hub.devices import make_accelerator
    from ngf_hub.evidence.collecting import make_kinds
    from ngf_hub.scans.engines.base import Watch
    from ngf_hub.scans.formats import render
    from ngf_hub.scans.jobs import Wanted, plan
    from ngf_hub.scans.places import Outputs
    from ngf_hub.scans.store import ScanStore

    shown = Format.json if json else format
    outputs = Outputs.of(output or [], None if shown is Format.table else shown.value)
    engine = _engine(fleet, run)
    names = _names(source)
    outputs.check(names)
    make_kinds(evidence)
    # Where a cluster scans, its machines have the device, and this one may not.
    here = (run.device, run.mixed_precision) if fleet.address is None else ("cpu", "no")
    accelerator = make_accelerator(*here)
    if accelerator.num_processes > 1 and not engine.alone:
        raise NgfHubError(
            f"--engine {engine.name} starts processes of its own.", "Run it in a single one."
        )
    quiet = not accelerator.is_main_process
    many = len(names) > 1 or source.author is not None or source.from_file is not None
    if many and source.revision is not None:
        raise NgfHubError("--revision is of one model.", "Scan it alone.")
    track = progress(quiet, transient=many)
    wanted = Wanted(
        options={
            "kinds": evidence or None,
            "seed": run.seed,
            "trust_remote_code": source.trust_remote_code,
            "mixed_precision": run.mixed_precision,
            "batch_size": run.batch_size,
            "device": run.device,
        },
        command=lambda model, commit: _command_line(model, commit, wanted, data, evidence, run),
    )
    with accelerator.main_process_first():
        if data.dataset is not None:
            wanted.images, wanted.info = _images(data, data.dataset, run.seed, track)
    store = ScanStore()
    jobs = plan(
        names,
        wanted,
        None if rescan else store,
        revision=source.revision,
        strict=not many,
        track=track,
    )
    # What one process keeps must not look to another as if it had been there before.
    accelerator.wait_for_everyone()
    with tempfile.TemporaryDirectory(prefix="ngf-hub-scan-") as workspace:
        watch = Watch(_nothing if quiet else note)
        found = engine.run(
            jobs,
            wanted,
            None if quiet else store,
            Path(workspace),
            strict=not many,
            track=track,
            watch=watch,
        )
        if many and not quiet:
            with shown_fleet(jobs, watch, alone=engine.alone) as board:
                results = in_order(tell_results(found, jobs, board))
        else:
            results = in_order(found)
        if not quiet:
            if shown is Format.table or shown.value in outputs.formats:
                show_results(results, many=many)
            else:
                print(render(shown.value, results), end="")
            outputs.write(results, many=many)
            for place in outputs.places:
                note(f"Written to {place}.")
            show_failures(results)
    if any(result.report.unseen for result in results):
        raise typer.Exit(FAILED)
    if any(result.report.flagged for result in results):
        raise typer.Exit(FLAGGED)


def _engine(fleet: FleetOptions, run: RunOptions) -> Engine:
    """The engine that the options name, which can then work."""
    from ngf_hub.scans.engines.base import Fleet, make_engine

    given = Fleet(
        fleet.address, fleet.workers, fleet.cpus_per_model, fleet.gpus_per_model, fleet.retries
    )
    engine = make_engine(fleet.engine, given)
    engine.check(run.device)
    return engine


def _nothing(line: str) -> None:
    """For the processes that tell nothing."""


def _names(source: ModelsOptions) -> list[str]:
    """The models that the options name, each once."""
    from ngf_hub.scans.names import models_of, read_list

    names = list(source.models or [])
    if source.from_file is not None:
        names += read_list(source.from_file)
    if source.author is not None:
        names += models_of(source.author, limit=source.limit)
    if not names:
        raise NgfHubError("No model is named.", "Give MODEL, --author or --from-file; see --help.")
    return list(dict.fromkeys(names))[: source.limit]


def _images(
    data: ImagesOptions, dataset: str, seed: int, track: Track
) -> tuple[ImageSet, DataInfo]:
    from ngf_hub.data import load_unlabelled

    return load_unlabelled(
        dataset,
        samples=data.samples,
        split=data.split,
        seed=seed,
        config=data.dataset_config,
        revision=data.dataset_revision,
        streaming=data.streaming,
        image_column=data.image_column,
        track=track,
    )


def _command_line(
    model: str,
    commit: str | None,
    wanted: Wanted,
    data: ImagesOptions,
    evidence: list[str] | None,
    run: RunOptions,
) -> list[str]:
    """The command that repeats the scan of one model: pinned to commits, without tokens.

    Of local paths only the last part is kept.
    """
    words = ["ngf-hub", "scan", model if commit else Path(model).name]
    info = wanted.info
    given = {
        "--revision": commit,
        "--dataset": data.dataset and _public(data.dataset),
        "--dataset-config": data.dataset_config,
        "--dataset-revision": info.revision if info is not None else None,
        "--split": info.splits[0].split if info is not None else None,
        "--samples": str(data.samples) if info is not None else None,
        "--image-column": data.image_column,
        "--seed": str(run.seed),
    }
    words += [word for name, value in given.items() if value for word in (name, value)]
    words += [word for kind in evidence or () for word in ("--evidence", kind)]
    if wanted.options["trust_remote_code"]:
        words.append("--trust-remote-code")
    return [redact(word) for word in words]


def _public(text: str) -> str:
    path = existing(text)
    return text if path is None else path.name
