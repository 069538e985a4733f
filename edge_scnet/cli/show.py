"""What a run prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from edge_scnet.cli.guard import printing

if TYPE_CHECKING:
    from rich.console import Console

    from edge_scnet.pipeline.result import BuildResult
    from edge_scnet.report.run_report import RunReport


def show_tables(loaded: RunReport, console: Console) -> None:
    """The engines, what other batches and threads give, how they ran, and what the figures are
    worth.
    """
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from edge_scnet.report import notes
    from edge_scnet.report.summary import table

    console.print(table(loaded))
    if loaded.sweep:
        cells = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in notes.SWEEP_HEAD:
            cells.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
        for row in loaded.sweep:
            cells.add_row(*map(escape, notes.sweep_cells(row)))
        console.print(cells)
    for line in (*notes.facts(loaded), *(f"note: {doubt}" for doubt in notes.doubts(loaded))):
        console.print(line, markup=False, soft_wrap=True)


def show_report(result: BuildResult, *, as_json: bool, saved: bool) -> None:
    report = result.report
    assert report is not None
    with printing():
        _print_report(result, report, as_json=as_json, saved=saved)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _print_report(result: BuildResult, report: RunReport, *, as_json: bool, saved: bool) -> None:
    from edge_scnet.core.manifest import PARTIAL_REPORT
    from edge_scnet.machine.board import board_words
    from edge_scnet.report.store import to_json

    if as_json:
        typer.echo(to_json(report))
    else:
        from rich.console import Console

        console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        show_tables(report, console)
        for line in board_words(report.board) if report.board else ():
            console.print(line, markup=False, soft_wrap=True)
        color = {0: "green", 10: "red", 11: "red"}.get(result.exit_code, "yellow")
        # names and paths may hold brackets, which are markup to rich
        console.print(report.verdict, style=color, markup=False, soft_wrap=True)
        if saved:
            written = (
                f"{result.folder}/" if report.complete else str(result.folder / PARTIAL_REPORT)
            )
            console.print(f"files: {written}", markup=False, soft_wrap=True)
        bundle = result.manifest.artifacts.get("bundle.tar.gz")
        if bundle is not None and all(engine.latency is None for engine in report.engines):
            archive = f"{result.folder / bundle.file} ({bundle.size_bytes / 1e6:.1f} MB)"
            typer.echo(
                "compiled: no, a plan is built on its board\n"
                f"next: copy {archive} there, then: edge-scnet compile {bundle.file}\n"
                f"      or without Python: tar xzf {bundle.file}, and sh build.sh in its folder"
            )
