"""The options that only ``ngf-hub scan`` has."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import typer

from ngf_hub.cli.arguments import DATA, MODEL

FLEET = "Fleet"


class Format(str, Enum):
    """What standard output shows."""

    table = "table"
    json = "json"
    sarif = "sarif"
    html = "html"


@dataclass
class ModelsOptions:
    """Which models."""

    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Hub ids such as org/model, and local folders.",
            show_default=False,
        ),
    ] = None
    author: Annotated[
        str | None,
        typer.Option(
            help="All image classifiers of a user or organisation on the Hub, the most downloaded "
            "first.",
            rich_help_panel=MODEL,
        ),
    ] = None
    from_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A text file with one model a line (# starts a comment); - for standard input.",
            rich_help_panel=MODEL,
        ),
    ] = None
    limit: Annotated[
        int | None, typer.Option(min=1, help="Scan so many at most.", rich_help_panel=MODEL)
    ] = None
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit, of a single model.", rich_help_panel=MODEL),
    ] = None
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run Python code from the model's repository. Off: such models are not loaded.",
            rich_help_panel=MODEL,
        ),
    ] = False


@dataclass
class ImagesOptions:
    """Which clean images, if any."""

    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Clean images, labels not needed: cifar10, gtsrb, tiny-imagenet, imagenet, "
            "digits, a Hub dataset id, a folder of images or a parquet file. Without them only "
            "the evidence that needs none is looked for.",
            rich_help_panel=DATA,
        ),
    ] = None
    dataset_config: Annotated[
        str | None,
        typer.Option(help="Configuration of a dataset that has several.", rich_help_panel=DATA),
    ] = None
    dataset_revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit of the dataset.", rich_help_panel=DATA),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(help="The split. Default: test, else any.", rich_help_panel=DATA),
    ] = None
    samples: Annotated[int, typer.Option(min=1, help="How many images.", rich_help_panel=DATA)] = (
        300
    )
    image_column: Annotated[
        str | None,
        typer.Option(help="The image column, where it is not clear.", rich_help_panel=DATA),
    ] = None
    streaming: Annotated[
        bool | None,
        typer.Option(
            "--streaming/--no-streaming",
            help="Fetch only the images that are used. Default: for large datasets.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None


@dataclass
class FleetOptions:
    """Where the scans of many models run."""

    engine: Annotated[
        str,
        typer.Option(
            help="local: one model after another in this process. ray: many at once, each in a "
            "process of its own that is begun again if it dies (pip install 'ngf-hub\\[fleet]').",
            rich_help_panel=FLEET,
        ),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A Ray cluster that runs already, or auto. Default: one of its own on this "
            "machine.",
            rich_help_panel=FLEET,
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many models at once. Default: by the cluster's GPUs, or CPUs and memory.",
            show_default=False,
            rich_help_panel=FLEET,
        ),
    ] = None
    cpus_per_model: Annotated[
        float | None,
        typer.Option(min=0.1, help="Default: its part.", show_default=False, rich_help_panel=FLEET),
    ] = None
    gpus_per_model: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Such as 0.25 for four models on one. Default: 1 where there are any.",
            show_default=False,
            rich_help_panel=FLEET,
        ),
    ] = None
    retries: Annotated[
        int,
        typer.Option(
            min=0,
            help="How often a model is scanned again whose process died.",
            rich_help_panel=FLEET,
        ),
    ] = 2
