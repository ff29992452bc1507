"""``ngf-hub purify``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ngf_hub.cli.arguments import (
    OUTPUT,
    RUN,
    Json,
    ModelOptions,
    Private,
    RunOptions,
    TriggerOptions,
    TuneOptions,
    arguments_of,
    grouped,
)
from ngf_hub.cli.console import note, print_json, progress, show_report
from ngf_hub.cli.inputs import (
    command_line,
    pairs,
    read_forget,
    read_images,
    read_model,
    read_trigger,
)

METHOD = "Method"
NOT_ESTABLISHED = 3
"""The exit code where a method that checks itself cannot say that the backdoor is gone."""


@grouped
def command(
    source: ModelOptions,
    data: TuneOptions,
    attack: TriggerOptions,
    method: Annotated[
        str, typer.Option(help="See `ngf-hub methods`.", rich_help_panel=METHOD)
    ] = "auto",
    layer: Annotated[
        str,
        typer.Option(
            help="head, a name or a glob over names; see `ngf-hub layers`. auto: what the method "
            "chooses, or its paper tunes.",
            rich_help_panel=METHOD,
        ),
    ] = "auto",
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Points of clean accuracy that --method auto may spend. Default: 1.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds after which --method auto begins nothing new. Default: no limit.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Purify by --method auto even where the scan finds nothing.",
            rich_help_panel=METHOD,
        ),
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="KEY=VALUE",
            help="Set an option of the method.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    forget: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A trigger that the method makes the model forget (auto and unlearn do): a "
            "trigger folder, or what `ngf-hub scan --output` wrote. Can be repeated. "
            "(--trigger only measures.)",
            rich_help_panel=METHOD,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the result. Default: purified/ and the model's name.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    push_to: Annotated[
        str | None,
        typer.Option(metavar="org/name", help="Publish the result.", rich_help_panel=OUTPUT),
    ] = None,
    private: Private = False,
    run: RunOptions = RunOptions(),
    memory: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            metavar="GIB",
            help="Memory for cached features and for what a step keeps: more of the one lies in a "
            "temporary file, more of the other is computed in pieces. Default: by what is free.",
            rich_help_panel=RUN,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Purify MODEL on clean images, measure it before and after, and write it with its card.

    Exit code 0: purified, be it as a precaution, or nothing was found and nothing changed;
    3: the method cannot establish that the backdoor is gone; 2: error.
    """
    from ngf_hub.devices import make_accelerator
    from ngf_hub.methods import make_method
    from ngf_hub.methods.forget import check_fit, check_heeded
    from ngf_hub.output import check_output
    from ngf_hub.pipeline import AUTO, purify_classifier
    from ngf_hub.publishing import check_destination, publish
    from ngf_hub.spilling import bounded

    # What can be refused is refused before anything is fetched.
    options = pairs(option or []) | _shorthands(max_drop, budget, force)
    told = read_forget(forget or [])
    check_heeded(make_method(method, options), told)
    folder = output or Path("purified") / source.model.rstrip("/").rpartition("/")[2]
    check_output(folder, source=source.model)
    if push_to:
        check_destination(push_to)
    accelerator = make_accelerator(run.device, run.mixed_precision)
    quiet = not accelerator.is_main_process
    classifier = read_model(source, accelerator)
    trigger = read_trigger(attack, classifier)
    check_fit(told, classifier)
    if layer != AUTO:
        classifier.select_layers(layer)
    track = progress(quiet, transient=True)
    clean = read_images(data, classifier, accelerator, seed=run.seed, track=track)
    with bounded(memory):
        result = purify_classifier(
            classifier,
            clean,
            accelerator=accelerator,
            method=method,
            layer=layer,
            options=options,
            trigger=trigger,
            forget=told,
            seed=run.seed,
            batch_size=run.batch_size,
            arguments={
                **arguments_of(source, data, attack, run),
                "method": method,
                "layer": layer,
                "options": options,
                "forget": [path.name for path in forget or []],
            },
            command=command_line(classifier, clean.info),
            track=track,
        )
    if quiet:
        return
    result.save(folder)
    if json:
        print_json(result.report.model_dump(mode="json"))
    else:
        show_report(result.report)
    note(f"Written to {folder}.")
    cure = result.report.cure
    if push_to and cure is not None and cure.state != "purified":
        note(f"Not published: {cure.state}. `ngf-hub publish` does it all the same.")
    elif push_to:
        note(f"Published at {publish(folder, push_to, private=private).url}.")
    if cure is not None and cure.state == "not established":
        raise typer.Exit(NOT_ESTABLISHED)


def _shorthands(max_drop: float | None, budget: float | None, force: bool) -> dict[str, str]:
    """The options of a method that have an option of their own here, where they are given."""
    given = {"max_drop": max_drop, "budget": budget, "force": int(force) or None}
    return {key: str(value) for key, value in given.items() if value is not None}
