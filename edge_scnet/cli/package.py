"""The command `package`: an engine in a folder that runs without edge-scnet."""

from __future__ import annotations

import difflib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_scnet.cli import outputs
from edge_scnet.cli.command_help import told
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import AsJson
from edge_scnet.cli.printer import say, tell
from edge_scnet.cli.project_option import ProjectCommand, with_project_path
from edge_scnet.package import FORMATS

if TYPE_CHECKING:
    from edge_scnet.pipeline.package import Packaged


def _form(text: str) -> str:
    if text in FORMATS:
        return text
    close = difflib.get_close_matches(text.lower(), FORMATS, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise typer.BadParameter(f"{text!r} is none of {', '.join(FORMATS)}{meant}")


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("package", cls=ProjectCommand, **told("package"))(guarded(package))


@functools.partial(with_project_path, path="path")
def package(
    path: Annotated[
        Path, typer.Argument(metavar="BUILD", help="A build folder, or an engine in one.")
    ],
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway", help="Also where the build did not ship; the package's README says so."
        ),
    ] = False,
    as_json: AsJson = False,
    *,
    form: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="FORMAT",
            parser=_form,
            help=f"What the folder is for: {', '.join(FORMATS)}.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The folder to write: empty, or not there yet."),
    ],
) -> None:
    """Write a folder that runs an engine without edge-scnet: the engine, code or configuration
    made of its manifest, the class names, and a README with the measured figures.

    A build whose verdict is not to ship, or that was not measured, is refused unless --anyway is
    given.
    """
    from edge_scnet.pipeline import package as pipeline

    packaged = pipeline.package(path, form=form, out=out, anyway=anyway)
    if as_json:
        outputs.show("package", packaged)
    else:
        _show(packaged)


def _show(packaged: Packaged) -> None:
    if packaged.held_back is not None:
        tell(f"warning: this engine did not ship: {packaged.held_back}")
    say(f"{packaged.folder}: {packaged.engine} for {packaged.form}")
    for name in packaged.files:
        say(f"  {name}")
    say(f"how to run it: {Path(packaged.folder) / 'README.md'}")
