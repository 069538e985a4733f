"""The commands on a project: `init` writes its file, `show` says what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_scnet.cli import console, outputs
from edge_scnet.cli.command_help import HelpfulCommand, told
from edge_scnet.cli.data_options import with_data_options
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import (
    AsJson,
    Calib,
    Eval,
    IgnoreLabels,
    Model,
    SkipBad,
    Target,
    with_model_options,
)
from edge_scnet.cli.printer import results_width, say
from edge_scnet.cli.project_option import ProjectCommand, with_project
from edge_scnet.config.model_options import ModelOptions

if TYPE_CHECKING:
    from edge_scnet.pipeline.resolved import ResolvedValue

_NAME_WIDTH, _VALUE_WIDTH, _NARROW_VALUE_WIDTH = 31, 42, 22
_WIDE = 110


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("init", cls=HelpfulCommand, **told("init"))(guarded(init))
    app.command("show", cls=ProjectCommand, **told("show"))(guarded(show))


@with_model_options
@with_data_options
def init(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As build's.", show_default=False)],
    calib: Calib = None,
    evaluation: Eval = None,
    targets: Annotated[
        list[str],
        typer.Option(
            "--target",
            "-t",
            metavar="NAME|FILE",
            help="A target's name or .toml file. Can be repeated.",
        ),
    ] = ["cpu"],  # noqa: B006  Typer reads it and does not change it
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file. Default: edge-scnet.toml here."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    skip_bad: SkipBad = False,
    ignore_labels: IgnoreLabels = False,
    as_json: AsJson = False,
    *,
    model_options: ModelOptions,
) -> None:
    """Look at a model and its data, and write an edge-scnet.toml with every value and where it
    comes from.

    It asks nothing. What cannot be told stands there as a comment.
    """
    from edge_scnet.config import project as projects
    from edge_scnet.pipeline import init as pipeline

    file = projects.file_of(out or Path(projects.FILE))
    pipeline.check_new(file, force=force)
    with console.events() as events:
        made = pipeline.init(
            model,
            model_options,
            pipeline.Asked(
                file=file,
                targets=tuple(targets),
                calib=calib,
                evaluation=evaluation,
                skip_bad=skip_bad,
                ignore_labels=ignore_labels,
            ),
            events=events,
        )
    if as_json:
        outputs.show("init", made)
        return
    where = f" {file}" if str(file) != projects.FILE else ""
    say(
        f"{file}: written, {made.found}",
        f"next: edge-scnet show --project{where}",
        f"      edge-scnet build --project{where}",
        f"      edge-scnet baseline update --build --project{where}",
    )


@with_model_options
@with_project
@with_data_options
def show(
    model: Model = None,
    target: Target = "cpu",
    calib: Calib = None,
    evaluation: Eval = None,
    skip_bad: SkipBad = False,
    ignore_labels: IgnoreLabels = False,
    as_json: AsJson = False,
    *,
    model_options: ModelOptions,
    taken: dict[str, str],
) -> None:
    """Show what a build would be made with, and where each value comes from: the command line, a
    project file, the model's file or architecture, or a default. Nothing is built.
    """
    from edge_scnet.models import zoo
    from edge_scnet.pipeline import resolved
    from edge_scnet.pipeline.request import Request

    request = Request(
        model=model or zoo.DEFAULT_MODEL,
        target=target,
        calib=calib,
        evaluation=evaluation,
        out=Path("build"),
        options=model_options,
        skip_bad=skip_bad,
        ignore_labels=ignore_labels,
    )
    with console.events() as events:
        values = resolved.resolve(request, taken=taken, events=events)
    if as_json:
        from edge_scnet.cli.outputs.project import Resolved

        outputs.show("show", Resolved(values=values))
    else:
        _show_values(values)


def _show_values(values: tuple[ResolvedValue, ...]) -> None:
    section = None
    width = _VALUE_WIDTH if results_width() >= _WIDE else _NARROW_VALUE_WIDTH
    for value in values:
        if value.section != section:
            section = value.section
            say(section)
        text = _words(value.value)
        say(f"  {value.name:<{_NAME_WIDTH}}  {text:<{width}}  {value.origin}")


def _words(value: Any) -> str:
    """A value on one line; of long lists the beginning."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        shown = ", ".join(map(_words, value[:4])) or "-"
        return shown if len(value) <= 4 else f"{shown}, ... ({len(value)})"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
