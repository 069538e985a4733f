"""The app: its commands put together.

Nothing heavy is imported at module level: `edge-scnet --help` and shell completion must answer at
once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from edge_scnet.__about__ import __version__
from edge_scnet.cli import (
    build,
    data,
    device_jobs,
    gate,
    interrupts,
    machine,
    package,
    predict,
    printer,
    profile,
    project,
    reports,
    schema,
)
from edge_scnet.cli.command_help import WIDTH, HelpfulGroup, first_words
from edge_scnet.cli.guard import ending
from edge_scnet.cli.printer import printing, say, tell
from edge_scnet.core import telemetry
from edge_scnet.errors import ExitCode


class _Tool(HelpfulGroup):
    """Ends as the commands do where an error is the command line's, and where nobody reads."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the command line; of none at all it prints where to begin."""
        if not args and not ctx.resilient_parsing:
            for line in first_words().splitlines():
                tell(line)
            raise typer.Exit(ExitCode.USAGE)
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def main(  # type: ignore[override]  # by their names are the others passed on
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **settings: Any
    ) -> Any:
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **settings)
        code = None
        with ending(list(sys.argv[1:] if args is None else args)):
            code = super().main(args, standalone_mode=False, **settings)
            with printing():
                pass
        sys.exit(code if isinstance(code, int) else ExitCode.OK)


app = typer.Typer(
    cls=_Tool,
    help=(
        "Trained SCNet (or your own CNN) in, INT8 engines out, with the proof that they are fast"
        " and still accurate."
    ),
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
)


def _print_version(value: bool) -> None:
    if value:
        say(f"edge-scnet {__version__}")
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
predict.add_to(app)
package.add_to(app)
project.add_to(app)
machine.add_to(app)
device_jobs.add_to(app)
gate.add_to(app)
data.add_to(app)
reports.add_to(app)
schema.add_to(app)


def main() -> None:
    """Runs the command line."""
    interrupts.heed()
    _print_all_names()
    telemetry.switch_off()
    printer.open_streams()
    _read_options_of(sys.argv[1:])
    app(prog_name="edge-scnet")


def _print_all_names() -> None:
    """Has stdout show what is not of its encoding, as file names may be, with escapes.

    stderr does so by itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # None: it is closed
        sys.stdout.reconfigure(errors="backslashreplace")


def _read_options_of(arguments: Sequence[str]) -> None:
    """Has Typer read the options of the command that is called alone.

    It would read those of every command, which takes longer than all else that `--help` does.
    Shell completion may ask for any command's.
    """
    if any(name.endswith("_COMPLETE") for name in os.environ):
        return
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for command in app.registered_commands:
        if command.name != called and command.callback is not None:
            command.callback = _described_as(command.callback)


def _described_as(command: Callable[..., object]) -> Callable[[], None]:
    """A command without options that lists of commands show as this one."""

    def stand_in() -> None: ...

    stand_in.__doc__ = command.__doc__
    return stand_in
