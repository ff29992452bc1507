"""``ngf-hub evaluate``: measure, change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ngf_hub.cli.arguments import (
    OUTPUT,
    TRIGGER,
    DataOptions,
    Json,
    ModelOptions,
    RunOptions,
    TriggerOptions,
    arguments_of,
    grouped,
)
from ngf_hub.cli.attack_inputs import check_triggered, read_triggered
from ngf_hub.cli.console import note, print_json, progress, show_classes, show_report
from ngf_hub.cli.inputs import command_line, read_images, read_model, read_trigger


@grouped
def command(
    source: ModelOptions,
    data: DataOptions,
    attack: TriggerOptions,
    triggered: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="Images that carry a trigger already, with their true labels: an image folder, "
            "a parquet file or a dataset. Instead of --trigger, with --target.",
            rich_help_panel=TRIGGER,
        ),
    ] = None,
    run: RunOptions = RunOptions(),
    per_class: Annotated[
        bool, typer.Option("--per-class", help="Show every class too.", rich_help_panel=OUTPUT)
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Write report.json into this folder.", rich_help_panel=OUTPUT),
    ] = None,
    json: Json = False,
) -> None:
    """Measure the clean accuracy of MODEL, and ASR and RA where a trigger is given."""
    from ngf_hub.devices import make_accelerator
    from ngf_hub.evaluation import measure, with_triggered
    from ngf_hub.output import check_output, whole_folder
    from ngf_hub.provenance import evaluation_report

    if output:
        check_output(output, "evaluate")
    accelerator = make_accelerator(run.device, run.mixed_precision)
    quiet = not accelerator.is_main_process
    classifier = read_model(source, accelerator)
    if triggered is not None:
        check_triggered(attack)
    trigger = None if triggered is not None else read_trigger(attack, classifier)
    track = progress(quiet)
    clean = read_images(data, classifier, accelerator, seed=run.seed, track=track)
    measured = measure(
        classifier.to(accelerator.device),
        clean.judge,
        accelerator=accelerator,
        trigger=trigger,
        batch_size=run.batch_size,
        track=track,
    )
    if triggered is not None:
        trigger, given = read_triggered(
            triggered, attack, data, classifier, accelerator, seed=run.seed, track=track
        )
        attacked = measure(
            classifier,
            given,
            accelerator=accelerator,
            trigger=trigger,
            batch_size=run.batch_size,
            track=track,
            description="Evaluating triggered images",
        )
        measured = with_triggered(measured, attacked)
    if quiet:
        return
    report = evaluation_report(
        classifier,
        clean.info,
        measured,
        trigger=trigger,
        accelerator=accelerator,
        seed=run.seed,
        arguments={**arguments_of(source, data, attack, run), "triggered": triggered},
        command=command_line(classifier, clean.info),
    )
    if output:
        with whole_folder(output, "evaluate") as part:
            report.write(part)
            if trigger is not None and triggered is None:
                trigger.save(part / "trigger")
        note(f"Written to {output}.")
    if json:
        print_json(report.model_dump(mode="json"))
        return
    show_report(report)
    if per_class:
        show_classes(measured)
