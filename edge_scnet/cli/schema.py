"""The command `schema`: the JSON Schemas of what the tool prints and keeps."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from edge_scnet.cli import outputs
from edge_scnet.cli.command_help import HelpfulCommand, told
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import AsJson
from edge_scnet.cli.printer import say, say_json


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("schema", cls=HelpfulCommand, **told("schema"))(guarded(schema))


def schema(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Of an output or a file.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write all of them here, as NAME.json."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the JSON Schema of an output of --json, or of a file; without NAME list them with their
    numbers.
    """
    from edge_scnet.cli.outputs.schemas import ListedSchema, Schemas

    if name is not None and name not in outputs.DOCUMENTS:
        raise typer.BadParameter(_unknown(name))
    if name is not None and out is not None:
        raise typer.BadParameter("--out writes all schemas: leave NAME out")
    if out is not None:
        _write_all(out)
    if name is not None:
        say_json(outputs.schema_text(name))
    elif as_json:
        listed = (
            ListedSchema(name=kind, number=document.schema, where=document.where)
            for kind, document in outputs.DOCUMENTS.items()
        )
        outputs.show("schemas", Schemas(schemas=tuple(listed)))
    else:
        width = max(map(len, outputs.DOCUMENTS))
        for kind, document in outputs.DOCUMENTS.items():
            say(f"{kind:<{width}} {document.schema}  {document.where}")


def _write_all(folder: Path) -> None:
    """Writes every schema to a folder, which is made where it is not there."""
    from edge_scnet.core.output_file import write_output

    folder.mkdir(parents=True, exist_ok=True)
    for kind in outputs.DOCUMENTS:
        write_output(folder / f"{kind}.json", outputs.schema_text(kind))


def _unknown(name: str) -> str:
    known = list(outputs.DOCUMENTS)
    close = difflib.get_close_matches(name.lower(), known, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"no output or file is called {name!r}; {guess}names: {', '.join(known)}"
