"""The application: its commands, and how an error ends it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ngf_hub import __version__
from ngf_hub.cli import (
    attack,
    attacks,
    bench,
    card,
    demo,
    evaluate,
    layers,
    methods,
    publish,
    purify,
    report,
    reproduce,
    scan,
)
from ngf_hub.cli.console import fail, show_traceback
from ngf_hub.cli.threads import wait_briefly
from ngf_hub.errors import NgfHubError
from ngf_hub.hub import explain
from ngf_hub.patience import own_process

app = typer.Typer(
    name="ngf-hub",
    help="Take an image classifier from the Hugging Face Hub, remove its backdoor, "
    "and put it back with proof.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE do what they do in every Hub tool.",
)
# What Typer turns Ctrl-C into.
INTERRUPTED = 130

COMMANDS = (
    demo,
    scan,
    purify,
    evaluate,
    attack,
    attacks,
    bench,
    layers,
    methods,
    card,
    report,
    publish,
    reproduce,
)

for module in COMMANDS:
    name = module.__name__.rpartition(".")[2]
    app.command(name)(module.command)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ngf-hub {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (works anywhere).")
    ] = False,
) -> None:
    """What stands before the command; ``--debug`` is read by :func:`main`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors become one line and exit code 2."""
    own_process()
    wait_briefly()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = app(words, prog_name="ngf-hub", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except (typer.Abort, KeyboardInterrupt):
        code = fail("Interrupted.", "Nothing was half-written; run the same command again.")
    except NgfHubError as error:
        code = show_traceback(error) if debug else fail(error.message, error.hint, error.details)
    except BrokenPipeError:
        code = 141  # what the shell reports where the reader of a pipe has gone
    except Exception as error:
        # Typer's own errors, of a wrong option say, know how to show themselves; their
        # class is private to Typer, which carries its own copy of Click.
        if hasattr(error, "format_message"):
            sys.exit(fail(error.format_message(), "See --help."))
        if debug:
            sys.exit(show_traceback(error))
        told = explain(error) if isinstance(error, OSError) else None
        if told is not None:  # a full disk, say, wherever it was met
            sys.exit(fail(f"Cannot go on: {told[0]}.", told[1]))
        code = fail(
            f"Unexpected {type(error).__name__}: {error}",
            "Run it again with --debug for the traceback, and please report it.",
        )
    sys.exit(code if isinstance(code, int) else 0)
