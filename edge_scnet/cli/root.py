"""The app: its commands put together.

Nothing heavy is imported at module level: `edge-scnet --help` and shell completion must answer at
once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from edge_scnet.__about__ import __version__
from edge_scnet.cli import build, gate, interrupts, machine, profile, reports

app = typer.Typer(
    help=(
        "Trained SCNet (or your own CNN) in, INT8 engines out, with the proof that they are fast"
        " and still accurate."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"edge-scnet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None: ...


build.add_to(app)
profile.add_to(app)
machine.add_to(app)
gate.add_to(app)
reports.add_to(app)


def main() -> None:
    """Runs the command line."""
    interrupts.heed()
    app(prog_name="edge-scnet")
