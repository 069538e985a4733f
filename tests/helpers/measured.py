"""Figures that were measured once, given again where how something is measured is not the point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from edge_scnet.profiler.process import EngineFile
from edge_scnet.report.run_report import EngineReport
from edge_scnet.report.store import load_report

PLOT = '<svg xmlns="http://www.w3.org/2000/svg"></svg>'

Set = Callable[[str, object], object]


def measure_no_more(report: Path, put: Set) -> None:
    """Has builds report the figures of an earlier one in the place of measuring.

    Args:
        report: of the earlier build, of the same engines or of ones with the same names.
        put: sets an attribute by its dotted name, as `MonkeyPatch.setattr` does.
    """
    # of other images, perhaps: no classes image by image
    rows = {row.name: replace(row, first_classes=None) for row in load_report(report).engines}

    def measure(engines: Sequence[object], *_: object, **__: object) -> SimpleNamespace:
        nothing = [SimpleNamespace(outputs=None) for _ in engines]
        return SimpleNamespace(engines=nothing, complete=True, load=None)

    def row(engine: EngineFile, *_: object) -> EngineReport:
        return replace(rows[engine.name], sha256=engine.sha256, size_bytes=engine.size_bytes)

    put("edge_scnet.pipeline.measuring.measure", measure)
    put("edge_scnet.pipeline.measuring.row_of_engine", row)


def draw_no_more(put: Set) -> None:
    """Has pages show empty plots: to draw one takes a quarter of a second."""
    put("edge_scnet.report.plots.svg_of", lambda *_: PLOT)
