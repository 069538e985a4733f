"""The commands `compare` and `report`, and `profile A B --interleave`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_scnet.cli.guard import guarded, printing
from edge_scnet.cli.options import AsJson
from edge_scnet.cli.show import results_console, show_report
from edge_scnet.errors import ExitCode

if TYPE_CHECKING:
    from edge_scnet.pipeline.together import TimedTogether
    from edge_scnet.report.comparison import Comparison

_COLORS = {"A": "cyan", "B": "cyan", "same": "green", "unknown": "yellow", "skipped": "dim"}
_WORDS = {
    "A": "A",
    "B": "B",
    "same": "no difference",
    "unknown": "cannot tell",
    "skipped": "not compared",
}


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("compare")(guarded(compare))
    app.command("report")(guarded(report))


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
    from edge_scnet.errors import ArtifactError
    from edge_scnet.gate import check as checking
    from edge_scnet.gate import regression
    from edge_scnet.report import comparison
    from edge_scnet.report.store import load_report

    if len(reports) < 2:
        raise typer.BadParameter("two or more reports are needed: edge-scnet compare A B")
    files = [checking.report_file(path) for path in reports]
    loaded = [load_report(file) for file in files]
    if partial := [file for file, report in zip(files, loaded, strict=True) if not report.complete]:
        raise ArtifactError(
            f"{partial[0]} is of an interrupted run", hint=f"edge-scnet profile {partial[0].parent}"
        )
    rows = []
    for file, report in zip(files[1:], loaded[1:], strict=True):
        try:
            found = comparison.compare(loaded[0], report, across_machines=across_machines)
        except ValueError as error:
            raise ArtifactError(
                f"{file}: {error}", hint="edge-scnet profile BUILD_FOLDER"
            ) from error
        changed = regression.changes(report, loaded[0])
        if not found:
            raise ArtifactError(f"{files[0]} and {file} have no INT8 engine with figures in common")
        rows.append((file, found, changed))
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "a": str(files[0]),
                        "b": str(file),
                        "figures": [asdict(c) for c in found],
                        "changed": changed,
                    }
                    for file, found, changed in rows
                ],
                indent=1,
            )
        )
        return
    for file, found, changed in rows:
        _show(files[0], file, found, changed)


def _show(a: Path, b: Path, found: tuple[Comparison, ...], changed: list[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    console = results_console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "A", "B", "better"):
        table.add_column(name, justify="left" if name in ("", "better") else "right", no_wrap=True)
    for row in found:
        cells = ["-" if value is None else f"{value:.4g} {row.unit}" for value in (row.a, row.b)]
        table.add_row(escape(row.figure), *cells, f"[{_COLORS[row.better]}]{_WORDS[row.better]}[/]")
    console.print(f"A {a}\nB {b}", markup=False, soft_wrap=True)
    console.print(table)
    for row in found:
        console.print(row.message, markup=False, soft_wrap=True)
    if changed:
        console.print(f"what differs: {'; '.join(changed)}", markup=False, soft_wrap=True)


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
    from edge_scnet.core.files import write_text
    from edge_scnet.gate import check as checking
    from edge_scnet.report import markdown as report_markdown
    from edge_scnet.report import page as html_report
    from edge_scnet.report import schema as report_schema
    from edge_scnet.report.store import load_report, to_json

    if schema:
        typer.echo(
            (Path(report_schema.__file__).parent / report_schema.FILE)
            .read_text(encoding="utf-8")
            .rstrip()
        )
        return
    if path is None:
        raise typer.BadParameter(
            "a report.json or a build folder is needed: edge-scnet report REPORT"
        )
    loaded = load_report(checking.report_file(path))
    if html is not None:
        write_text(html, html_report.render(loaded))
    if markdown is not None:
        write_text(markdown, report_markdown.markdown(loaded))
    if as_json:
        typer.echo(to_json(loaded))
    elif html is None and markdown is None:
        show_report(loaded)


def interleaved(paths: list[Path], *, seconds: float, as_json: bool) -> None:
    """Times engines together and prints how they compare with the first."""
    from edge_scnet.cli import console
    from edge_scnet.pipeline.together import time_together

    with console.events() as events:
        result = time_together(paths, seconds=seconds, events=events)
    with printing():
        if as_json:
            typer.echo(json.dumps(asdict(result), indent=1, allow_nan=False))
        else:
            _show_together(result)
    if not result.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _show_together(result: TimedTogether) -> None:
    for engine in result.engines:
        latency, rate = engine.latency, engine.throughput_per_second
        typer.echo(
            f"{engine.name}  p50 {latency.p50_ms:.3f} ms, p90 {latency.p90_ms:.3f}, p99"
            f" {latency.p99_ms:.3f}; {'-' if rate is None else f'{rate:,.0f}'} images/s;"
            f" {engine.memory.steady_bytes / 2**20:,.0f} MB  {engine.path}"
        )
    for engine in result.engines[1:]:
        typer.echo(engine.message)
    if not result.complete:
        typer.echo("interrupted: the figures are of the part that was timed")
