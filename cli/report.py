"""``ngf-hub report``: a result as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ngf_hub.cli.arguments import OUTPUT, Json
from ngf_hub.cli.console import note, print_json


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What purify, attack, evaluate or scan wrote.")
    ],
    html: Annotated[
        Path,
        typer.Option("--html", metavar="FILE", help="The page.", rich_help_panel=OUTPUT),
    ] = Path("report.html"),
    json: Json = False,
) -> None:
    """Write the result in DIR as one HTML page, which needs nothing beside it and no network."""
    from ngf_hub.pages.folder import write_page

    path = write_page(folder, html)
    if json:
        print_json({"page": str(path)})
    else:
        note(f"Written to {path}.")
