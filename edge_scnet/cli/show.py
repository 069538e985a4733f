"""What commands print on stdout: tables, sentences and JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edge_scnet.cli.guard import printing
from edge_scnet.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from edge_scnet.core.manifest import Artifact
    from edge_scnet.pipeline.result import BuildResult
    from edge_scnet.report.run_report import RunReport

_WIDTH_IN_A_PIPE = 120
_COLORS: dict[int, str] = {ExitCode.OK: "green", ExitCode.ACCURACY: "red", ExitCode.SPEED: "red"}


def results_console() -> Console:
    """A console on stdout, 120 columns wide where that is no terminal.

    What is printed may quote names and paths with brackets in them, which are markup to rich: pass
    `markup=False`.
    """
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE)


def color_of(exit_code: int) -> str:
    """The color of a verdict."""
    return _COLORS.get(exit_code, "yellow")


def show_json(value: Any, *, allow_nan: bool = True) -> None:
    """Prints a result as indented JSON."""
    typer.echo(json.dumps(value, indent=1, allow_nan=allow_nan))


def show_files(folder: Path, artifacts: Iterable[Artifact], *, as_json: bool) -> None:
    """Prints the files that a stage made."""
    if as_json:
        show_json({"folder": str(folder), "artifacts": [asdict(entry) for entry in artifacts]})
    else:
        for entry in artifacts:
            typer.echo(str(folder / entry.file))


def show_result(result: BuildResult, *, as_json: bool, saved: bool) -> None:
    """Prints the report of a run, and ends the command with the verdict's exit code.

    Args:
        saved: the report lies in the build folder, whose name is printed then.
    """
    report = result.report
    assert report is not None
    with printing():
        if as_json:
            from edge_scnet.report.store import to_json

            typer.echo(to_json(report))
        else:
            _show_tables_and_verdict(result, report, saved=saved)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _show_tables_and_verdict(result: BuildResult, report: RunReport, *, saved: bool) -> None:
    from edge_scnet.core.manifest import BUNDLE, PARTIAL_REPORT
    from edge_scnet.machine.board import board_words

    console = results_console()
    show_tables(report, console)
    for line in board_words(report.board) if report.board else ():
        console.print(line, markup=False, soft_wrap=True)
    console.print(report.verdict, style=color_of(result.exit_code), markup=False, soft_wrap=True)
    if saved:
        written = f"{result.folder}/" if report.complete else str(result.folder / PARTIAL_REPORT)
        console.print(f"files: {written}", markup=False, soft_wrap=True)
    bundle = result.manifest.artifacts.get(BUNDLE)
    if bundle is not None and all(engine.latency is None for engine in report.engines):
        archive = f"{result.folder / bundle.file} ({bundle.size_bytes / 1e6:.1f} MB)"
        typer.echo(
            "compiled: no, a plan is built on its board\n"
            f"next: copy {archive} there, then: edge-scnet compile {bundle.file}\n"
            f"      or without Python: tar xzf {bundle.file}, and sh build.sh in its folder"
        )


def show_report(report: RunReport) -> None:
    """Prints a report that was read, and its verdict."""
    console = results_console()
    show_tables(report, console)
    console.print(report.verdict, markup=False, soft_wrap=True)


def show_tables(report: RunReport, console: Console) -> None:
    """Prints the engines, the sweep, how the engines ran and what the figures are worth."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from edge_scnet.report import notes
    from edge_scnet.report.summary import table

    console.print(table(report))
    if report.sweep:
        cells = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in notes.SWEEP_HEAD:
            cells.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
        for row in report.sweep:
            cells.add_row(*map(escape, notes.sweep_cells(row)))
        console.print(cells)
    for line in (*notes.facts(report), *(f"note: {doubt}" for doubt in notes.doubts(report))):
        console.print(line, markup=False, soft_wrap=True)
