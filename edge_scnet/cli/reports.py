"""The commands on reports: `compare` and `report`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edge_scnet.cli import outputs
from edge_scnet.cli.command_help import HelpfulCommand, told
from edge_scnet.cli.device import with_device
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import AsJson, command_line
from edge_scnet.cli.printer import say_json
from edge_scnet.cli.show import show_compared, show_report
from edge_scnet.errors import StorageError


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("compare", cls=HelpfulCommand, **told("compare"))(guarded(with_device(compare)))
    app.command("report", cls=HelpfulCommand, **told("report"))(guarded(report))


def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(metavar="A B [C...]", help="report.json files, or build folders."),
    ],
    across_machines: Annotated[
        bool,
        typer.Option("--across-machines", help="Compare times of different machines all the same."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare reports with the first: accuracy image by image, times through the reference both
    were timed against.

    It says "no difference" where there is none, and "cannot tell" where separate runs do not
    decide: `edge-scnet profile A B --interleave` times the engines together.
    """
    from edge_scnet.gate.compare import compare_reports

    if len(reports) < 2:
        raise typer.BadParameter("two or more reports are needed: edge-scnet compare A B")
    results = compare_reports(reports, across_machines=across_machines)
    if as_json:
        from edge_scnet.cli.outputs.compare import Comparisons

        outputs.show("compare", Comparisons(comparisons=results))
    else:
        for result in results:
            show_compared(result)


def report(
    path: Annotated[
        Path | None, typer.Argument(metavar="REPORT", help="A report.json, or a build folder.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Write a table for a pull request."),
    ] = None,
    schema: Annotated[
        bool,
        typer.Option("--schema", help="Print the JSON Schema of report.json, and nothing else."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a report again, or write it as HTML or Markdown: needs neither the engine nor a
    runtime.
    """
    from edge_scnet.core.output_file import write_output
    from edge_scnet.gate import check as checking
    from edge_scnet.report import markdown as report_markdown
    from edge_scnet.report import page as html_report
    from edge_scnet.report.store import load_report, to_json

    if schema:
        say_json(outputs.schema_text("report"))
        return
    if path is None:
        raise typer.BadParameter(
            "a report.json or a build folder is needed: edge-scnet report REPORT"
        )
    with _no_run_in({file.parent for file in (html, markdown) if file is not None}):
        loaded = load_report(checking.report_file(path))
        if html is not None:
            write_output(html, html_report.render(loaded))
        if markdown is not None:
            write_output(markdown, report_markdown.markdown(loaded))
    if as_json:
        say_json(to_json(loaded))
    elif html is None and markdown is None:
        show_report(loaded)


@contextlib.contextmanager
def _no_run_in(folders: set[Path]) -> Iterator[None]:
    """Keeps other runs out of those folders that are build folders: they write a page there too.

    Raises:
        StorageError: there is one.
    """
    from edge_scnet.core.events import Silent
    from edge_scnet.core.folder_lock import locked
    from edge_scnet.core.foreign import exists
    from edge_scnet.core.manifest import MANIFEST

    with contextlib.ExitStack() as stack:
        for folder in sorted(folders):
            if exists(folder / MANIFEST):
                lock = locked(folder, command=command_line(), wait=False, events=Silent())
                try:
                    stack.enter_context(lock)
                except StorageError as error:
                    hint = "wait until it has ended, or write to another folder"
                    raise StorageError(error.message, hint=hint) from None
        yield
