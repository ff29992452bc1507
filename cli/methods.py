"""``ngf-hub methods``: what ``--method`` and ``--option`` take."""

from __future__ import annotations

from dataclasses import fields

from ngf_hub.cli.arguments import Json
from ngf_hub.cli.console import print_json, stdout


def command(json: Json = False) -> None:
    """List the purification methods, their papers, options and defaults."""
    from ngf_hub.methods import METHODS

    if json:
        print_json(
            {
                name: {
                    "citation": method.citation,
                    "options": {
                        entry.name: {"default": entry.default, "meaning": entry.metadata["help"]}
                        for entry in fields(method)
                    },
                }
                for name, method in sorted(METHODS.items())
            }
        )
        return
    from rich.table import Table

    for name, method in sorted(METHODS.items()):
        stdout().print(f"[bold]{name}[/bold]: {method.citation}")
        table = Table()
        table.add_column("option")
        table.add_column("default")
        table.add_column("meaning")
        for entry in fields(method):
            table.add_row(entry.name, str(entry.default), entry.metadata.get("help", ""))
        stdout().print(table)
