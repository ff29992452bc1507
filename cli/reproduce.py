"""``ngf-hub reproduce``: run a published result again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ngf_hub.cli.arguments import DATA, MODEL, OUTPUT, RUN, Json
from ngf_hub.cli.console import note, print_json, progress, short, stderr, stdout
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.reproducing import Reproduction

DISAGREES = 1
"""The exit code where the figures do not hold."""


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="ORG/NAME", help="A published result on the Hub, or a folder that a run wrote."
        ),
    ],
    revision: Annotated[
        str | None,
        typer.Option(
            help="Branch, tag or commit; refs/pr/N for a pull request.", rich_help_panel=MODEL
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="The source model, where the run read a local one.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run Python code from the source model's repository, if the run did.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="The dataset, where the run read a local one.", rich_help_panel=DATA
        ),
    ] = None,
    forget: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A trigger that the run was told to forget. Can be repeated.",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, cuda:N or mps. Default: the best one.", rich_help_panel=RUN),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Keep the comparison (reproduction.json) and the result of the run here.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Run a published result again from its report, and say whether its figures hold.

    Model and dataset are fetched at the commits that the report names. Nothing that the report
    says is run as a command; code, files of this machine and places to write to are refused.
    Exit code 0: it agrees; 1: it does not; 2: error.
    """
    from ngf_hub.reproducing import reproduce

    result = reproduce(
        source,
        revision=revision,
        model=model,
        dataset=dataset,
        forget=forget or [],
        output=output,
        device=device,
        trust_remote_code=trust_remote_code,
        show=stderr().is_terminal,
        track=progress(transient=True),
    )
    if json:
        print_json(result.model_dump(mode="json"))
    else:
        _show(result)
    if output:
        note(f"Written to {output}.")
    if not result.agrees:
        raise typer.Exit(DISAGREES)


def _show(result: Reproduction) -> None:
    """The table, the weights, what differs, and the verdict below."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(plain(result.source)), title_justify="left", title_style="bold")
    table.add_column("in %, with the 95 % interval")
    for heading in ("n", "published", "reproduced", "agrees"):
        table.add_column(heading, justify="right", no_wrap=True)
    for figure in [*result.figures, *result.measured]:
        rates = (figure.published, figure.reproduced)
        images = {rate.n: None for rate in rates if rate is not None}
        agrees = {True: "yes", False: "no", None: "–"}[figure.agrees]
        cells = (figure.name, ", ".join(map(str, images)), *map(short, rates), agrees)
        table.add_row(*(Text(cell) for cell in cells))
    stdout().print(table)
    lines = [
        f"{said.name}: {said.published}, here {said.reproduced}."
        for said in result.statements
        if not said.agrees
    ]
    if result.weights is not None:
        lines.append(_weights(result))
    for line in [*lines, _verdict(result)]:
        stdout().print(Text(plain(line, 800)), soft_wrap=True)
    for name, (published, reproduced) in result.versions.items():
        note(f"Differs: {name} {published}, here {reproduced}.")
    if any(figure.agrees is None for figure in result.figures):
        note("Rates with other recovered triggers are shown and not judged.")
    for text in result.notes:
        note(f"Note: {text}")


def _weights(result: Reproduction) -> str:
    weights = result.weights
    assert weights is not None
    if weights.equal:
        return "The published weights are those of the run, bit for bit."
    if weights.difference is None:
        return "The published weights are of another shape, type or name than those of the run."
    return (
        f"{weights.tensors} tensors differ, by {100 * weights.difference:.2g} % of the norm of "
        "all weights; so the published ones were measured too."
    )


def _verdict(result: Reproduction) -> str:
    if result.agrees:
        return "It agrees: the published figures hold."
    names = result.disagreements() or ["the published weights, which could not be measured"]
    return f"It does not agree: {', '.join(names)}."
