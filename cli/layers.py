"""``ngf-hub layers``: what the adapter resolved."""

from __future__ import annotations

from ngf_hub.cli.arguments import Json, ModelOptions, grouped
from ngf_hub.cli.console import note, print_json, stdout
from ngf_hub.cli.inputs import read_model


@grouped
def command(source: ModelOptions, json: Json = False) -> None:
    """List the layers of MODEL that can be tuned, in the order in which they run."""
    from ngf_hub.text import plain

    classifier = read_model(source)
    rows = [
        {
            "depth": layer.depth,
            "name": layer.name,
            "kind": layer.kind,
            "shape": list(layer.shape),
            "parameters": layer.parameters,
            "head": layer.is_head,
        }
        for layer in classifier.layers
    ]
    if json:
        height, width = classifier.preprocessing.size
        print_json(
            {
                "model": classifier.source.name,
                "commit": classifier.source.commit,
                "family": classifier.family,
                "architecture": classifier.architecture,
                "num_classes": classifier.num_classes,
                "input": [classifier.preprocessing.channels, height, width],
                "layers": rows,
            }
        )
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(
            plain(f"{classifier.source.name}: {classifier.family}, {classifier.architecture}")
        ),
        title_justify="left",
        title_style="bold",
    )
    for heading, side in (
        ("depth", "right"),
        ("name", "left"),
        ("kind", "left"),
        ("shape", "left"),
        ("parameters", "right"),
        ("", "left"),
    ):
        table.add_column(heading, justify=side, overflow="fold")  # type: ignore[arg-type]
    for layer in classifier.layers:
        table.add_row(
            str(layer.depth),
            Text(plain(layer.name)),
            layer.kind,
            " x ".join(map(str, layer.shape)),
            f"{layer.parameters:,}",
            "head" if layer.is_head else "",
        )
    stdout().print(table)
    if not any(layer.is_head for layer in classifier.layers):
        note("No head was found: the logits are no linear function of one layer's input.")
