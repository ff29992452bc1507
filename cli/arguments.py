"""The options that several commands share, grouped as a reader of the help finds them.

Typer knows no groups of options, so :func:`grouped` spreads the fields of each
dataclass over the command's own signature and gathers them again when it runs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

MODEL = "Model"
DATA = "Clean images"
TRIGGER = "Trigger"
RUN = "Run"
OUTPUT = "Output"


def _option(panel: str, *names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **settings)


Seed = Annotated[int, _option(RUN, min=0, max=2**32 - 1, help="Everything random follows from it.")]


@dataclass
class ModelOptions:
    """Which model."""

    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A Hub id such as org/model, or a local folder.")
    ]
    revision: Annotated[str | None, _option(MODEL, help="Branch, tag or commit of the model.")] = (
        None
    )
    trust_remote_code: Annotated[
        bool,
        _option(
            MODEL,
            "--trust-remote-code",
            help="Run Python code from the model's repository. Off: such models are refused.",
        ),
    ] = False


@dataclass
class DataOptions:
    """Which clean images judge."""

    dataset: Annotated[
        str,
        _option(
            DATA,
            "--dataset",
            "-d",
            help="cifar10, gtsrb, tiny-imagenet, imagenet, digits, a Hub dataset id, "
            "an image folder or a parquet file.",
        ),
    ]
    dataset_config: Annotated[
        str | None, _option(DATA, help="Configuration of a dataset that has several.")
    ] = None
    dataset_revision: Annotated[
        str | None, _option(DATA, help="Branch, tag or commit of the dataset.")
    ] = None
    judge_split: Annotated[
        str | None, _option(DATA, help="The split that judges. No image judges that tunes.")
    ] = None
    judge_samples: Annotated[
        int, _option(DATA, min=0, help="How many images judge; 0 for all.")
    ] = 2000
    image_column: Annotated[
        str | None, _option(DATA, help="The image column, where it is not clear.")
    ] = None
    label_column: Annotated[
        str | None, _option(DATA, help="The label column, where it is not clear.")
    ] = None
    class_subset: Annotated[
        bool,
        _option(
            DATA,
            "--class-subset",
            help="Allow data with only some of the model's classes, matched by name.",
        ),
    ] = False
    classes_by_index: Annotated[
        bool,
        _option(
            DATA,
            "--classes-by-index",
            help="Match classes by index, whatever their names: you know the order is the same.",
        ),
    ] = False
    streaming: Annotated[
        bool | None,
        _option(
            DATA,
            "--streaming/--no-streaming",
            help="Fetch only the images that are used. Default: for large datasets.",
            show_default=False,
        ),
    ] = None


@dataclass
class TuneOptions(DataOptions):
    """Which clean images tune and which judge."""

    split: Annotated[str | None, _option(DATA, help="The split that tunes.")] = None
    samples: Annotated[int, _option(DATA, min=1, help="How many images tune.")] = 500


@dataclass
class TriggerOptions:
    """What ASR is measured with."""

    trigger: Annotated[
        str | None,
        _option(
            TRIGGER,
            "--trigger",
            "-t",
            help="A trigger folder, a picture (PNG), badnets, blend, or FAMILY:key=value,... "
            "such as patch:image=logo.png,position=27x27,size=4.",
        ),
    ] = None
    target: Annotated[
        str | None,
        _option(TRIGGER, help="Its target class: index, class name, or all-to-all."),
    ] = None


@dataclass
class RunOptions:
    """How to compute."""

    seed: Seed = 0
    batch_size: Annotated[
        int | None, _option(RUN, min=1, help="Images a forward pass. Default: by their size.")
    ] = None
    device: Annotated[
        str | None, _option(RUN, help="cpu, cuda, cuda:N or mps. Default: the best one.")
    ] = None
    mixed_precision: Annotated[
        str,
        _option(
            RUN,
            "--precision",
            "--mixed-precision",
            help="no (float32), bf16 or fp16 (on a GPU), of forward passes; curvature stays in "
            "float32 or better.",
        ),
    ] = "no"


Processes = Annotated[
    int,
    _option(
        RUN,
        min=1,
        help="Processes that share the work: one a GPU, or on the CPU. The result is that of one.",
    ),
]


Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder that `ngf-hub purify --output` wrote.")
]
Private = Annotated[
    bool, _option(OUTPUT, "--private", help="Make the published repository private.")
]


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take dataclasses of options, which Typer then sees as single options.

    A command that takes :class:`RunOptions` takes ``--num-processes`` too, and knows nothing
    of it: it is run in as many processes, see :mod:`ngf_hub.cli.launching`.
    """
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    # Not get_type_hints: before Python 3.11 it wraps what defaults to None, and the
    # annotations that Typer looks for are lost inside.
    hints = inspect.get_annotations(command, eval_str=True)
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if is_dataclass(kind):
            assert isinstance(kind, type)
            groups[name] = kind
            inner = get_type_hints(kind, include_extras=True)
            for entry in fields(kind):
                default = inspect.Parameter.empty if entry.default is MISSING else entry.default
                parameters.append(
                    inspect.Parameter(
                        entry.name,
                        inspect.Parameter.KEYWORD_ONLY,
                        default=default,
                        annotation=inner[entry.name],
                    )
                )
            if kind is RunOptions:
                parameters.append(
                    inspect.Parameter(
                        "num_processes",
                        inspect.Parameter.KEYWORD_ONLY,
                        default=1,
                        annotation=Processes,
                    )
                )
        else:
            parameters.append(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            )

    @functools.wraps(command)
    def spread(**values: Any) -> Any:
        count = values.pop("num_processes", 1)
        if count > 1:
            from ngf_hub.cli.launching import launch

            raise typer.Exit(launch(count, values["device"]))
        for name, kind in groups.items():
            values[name] = kind(**{entry.name: values.pop(entry.name) for entry in fields(kind)})
        return command(**values)

    # Python wants parameters without default first; these are all keywords, in help order.
    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {p.name: p.annotation for p in parameters}
    del spread.__wrapped__
    return spread


def arguments_of(*groups: Any) -> dict[str, Any]:
    """The options of some groups as JSON values, for the report."""
    return {key: value for group in groups for key, value in asdict(group).items()}
