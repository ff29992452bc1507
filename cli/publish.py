"""``ngf-hub publish``: put a result on the Hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ngf_hub.cli.arguments import OUTPUT, Folder, Json, Private
from ngf_hub.cli.console import note, print_json, stdout


def command(
    folder: Folder,
    repo: Annotated[
        str | None,
        typer.Argument(
            metavar="ORG/NAME",
            help="The repository on the Hub. With --pr: the model's source, if left out.",
            show_default=False,
        ),
    ] = None,
    pr: Annotated[
        bool,
        typer.Option(
            "--pr",
            help="Propose the weights to ORG/NAME in a pull request with the evidence, or "
            "bring your open one up to date. README and config there stay as they are.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    private: Private = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Publish into a repository that this tool did not create.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the files with their sizes and the card, and send nothing.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    acknowledge_backdoored: Annotated[
        bool,
        typer.Option(
            "--acknowledge-backdoored",
            help="Publish a model that is backdoored on purpose, for research.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Publish DIR as ORG/NAME: weights as safetensors, card, report and plots, nothing else.

    Repeatable: the same content makes no commit and no second pull request. A repository that
    ngf-hub did not create is refused, unless by --overwrite.
    """
    from ngf_hub.publishing import publish
    from ngf_hub.text import plain, plain_line

    result = publish(
        folder,
        repo,
        pull_request=pr,
        private=private,
        overwrite=overwrite,
        dry_run=dry_run,
        acknowledge_backdoored=acknowledge_backdoored,
    )
    if json:
        print_json(asdict(result))
        return
    for name, size in result.files.items():
        stdout().print(f"  {size:>12,} bytes  {plain(name)}", markup=False)
    if dry_run:
        for line in f"{result.description}\n{result.card}".splitlines():
            stdout().print(plain_line(line), markup=False, soft_wrap=True)
    for name in result.deleted:
        note(f"{'Would be deleted' if dry_run else 'Deleted'}: {name}.")
    if result.left_out:
        note(f"Left out: {', '.join(result.left_out)}.")
    if dry_run:
        note(f"Nothing was sent. Without --dry-run this goes to {result.url}.")
    elif result.changed:
        note(f"{'Proposed' if pr else 'Published'} at {result.url}.")
    else:
        note(f"{result.url} already holds exactly this.")
