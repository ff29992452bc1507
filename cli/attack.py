"""``ngf-hub attack``: make a backdoored model, to test defences with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ngf_hub.cli.arguments import (
    DATA,
    MODEL,
    OUTPUT,
    DataOptions,
    Json,
    RunOptions,
    arguments_of,
    grouped,
)
from ngf_hub.cli.attack_inputs import (
    read_training_images,
    usual_training,
)
from ngf_hub.cli.console import note, print_json, progress, show_report
from ngf_hub.cli.inputs import class_index, command_line, pairs

ATTACK = "Attack"
TRAINING = "Training"


@grouped
def command(
    data: DataOptions,
    output: Annotated[Path, typer.Option(help="Folder for the result.", rich_help_panel=OUTPUT)],
    attack: Annotated[
        str, typer.Option(help="See `ngf-hub attacks`.", rich_help_panel=ATTACK)
    ] = "badnets",
    target: Annotated[
        str | None,
        typer.Option(
            help="Target class: index, class name, or all-to-all. Default: class 0, or "
            "all-to-all where the attack is that only.",
            rich_help_panel=ATTACK,
            show_default=False,
        ),
    ] = None,
    poison_rate: Annotated[
        float | None,
        typer.Option(
            help="Share that is poisoned. Default: the attack's own.", rich_help_panel=ATTACK
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="KEY=VALUE",
            help="Set an option of the attack.",
            rich_help_panel=ATTACK,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="timm/NAME: this architecture of timm with random weights. "
            "org/model or a folder: fine-tune it.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="MODEL", help="Fine-tune this model.", rich_help_panel=MODEL
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit of a model on the Hub.", rich_help_panel=MODEL),
    ] = None,
    model_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="An argument of timm.create_model, for timm/NAME.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=8,
            help="Side of the images, for timm/NAME. Default: the dataset's own.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The split that trains.", rich_help_panel=DATA)
    ] = None,
    samples: Annotated[
        int, typer.Option(min=0, help="How many images train; 0 for all.", rich_help_panel=DATA)
    ] = 0,
    epochs: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Passes over the images. Default: 20, fine-tuning 5.",
            rich_help_panel=TRAINING,
            show_default=False,
        ),
    ] = None,
    train_batch_size: Annotated[
        int, typer.Option(min=1, help="Images a step.", rich_help_panel=TRAINING)
    ] = 128,
    optimiser: Annotated[
        str, typer.Option(help="adamw or sgd.", rich_help_panel=TRAINING)
    ] = "adamw",
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="The highest of the cycle. Default: by optimiser; a tenth for fine-tuning.",
            rich_help_panel=TRAINING,
            show_default=False,
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Default: 0.05 for adamw, 5e-4 for sgd.",
            rich_help_panel=TRAINING,
            show_default=False,
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Mirror images at random. Default: not digits and traffic signs.",
            rich_help_panel=TRAINING,
            show_default=False,
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Throw away an unfinished training.", rich_help_panel=OUTPUT
        ),
    ] = False,
    run: RunOptions = RunOptions(),
    json: Json = False,
) -> None:
    """Train a model with a backdoor, for research: the weights, a card that says so, the trigger.

    A run that was killed goes on where it stopped: give the same command again.
    """
    from ngf_hub.attacks import make_attack
    from ngf_hub.attacks.base import ALL_TO_ALL, AttackError
    from ngf_hub.attacks.pipeline import attack_classifier, discard, work_folder
    from ngf_hub.devices import make_accelerator
    from ngf_hub.output import check_output

    # What can be refused is refused before anything is fetched.
    options = pairs(option or [])
    if poison_rate is not None:
        options["poison_rate"] = str(poison_rate)
    chosen = make_attack(attack, options)
    source = start or model
    if source is None or (start is not None and model is not None):
        raise AttackError(
            "Give either --model or --from." if source else "No model was given.",
            "--model timm/NAME trains from random weights, --from org/model fine-tunes.",
        )
    if target is None and ALL_TO_ALL in chosen.targets and len(chosen.targets) == 1:
        target = ALL_TO_ALL
    check_output(output, "attack", source=source)
    accelerator = make_accelerator(run.device, run.mixed_precision)
    quiet = not accelerator.is_main_process
    track = progress(quiet)
    fresh = start is None
    read = read_training_images(
        source,
        data,
        accelerator,
        fresh=fresh,
        revision=revision,
        split=split,
        samples=samples,
        image_size=image_size,
        model_options=pairs(model_option or []),
        seed=run.seed,
        track=track,
    )
    training = usual_training(
        read,
        epochs=epochs,
        batch_size=train_batch_size,
        optimiser=optimiser,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        flip=flip,
    )
    work = work_folder(output)
    if restart and not quiet:
        discard(work)
    result = attack_classifier(
        read.classifier,
        read.clean.tune,
        read.clean.judge,
        read.clean.info,
        accelerator=accelerator,
        attack=chosen,
        target=class_index(target or "0", read.classifier),
        training=training,
        work=work,
        pretrained=read.pretrained,
        seed=run.seed,
        batch_size=run.batch_size,
        arguments={
            **arguments_of(data, run),
            "model": source,
            "revision": revision,
            "from_scratch": not read.pretrained,
            "model_options": pairs(model_option or []),
            "image_size": image_size,
            "split": split,
            "attack": attack,
            "options": chosen.options(),
            "target": target or "0",
            "samples": samples,
            "training": training.options(),
        },
        command=command_line(read.classifier, read.clean.info),
        track=track,
    )
    if quiet:
        return
    result.save(output)
    discard(work)
    if json:
        print_json(result.report.model_dump(mode="json"))
    else:
        show_report(result.report)
    note(f"Written to {output}.")
