"""``ngf-hub card``: render a result's card again."""

from __future__ import annotations

from ngf_hub.cli.arguments import Folder, Json
from ngf_hub.cli.console import note, print_json


def command(folder: Folder, json: Json = False) -> None:
    """Render the model card and plots of DIR again from its report.json."""
    from ngf_hub.card import write_card
    from ngf_hub.plots import plot_before_after
    from ngf_hub.report import Report

    report = Report.read(folder)
    plot_before_after(report, folder / "before_after.png")
    path = write_card(folder)
    if json:
        print_json({"card": str(path)})
    else:
        note(f"Written to {path}.")
