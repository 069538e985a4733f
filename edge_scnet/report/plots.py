"""The plots of `report.html`, as SVG."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from edge_scnet.core.optional import require
from edge_scnet.core.printable import printable
from edge_scnet.graph.names import block_of
from edge_scnet.report.run_report import EngineReport
from edge_scnet.stats.figures import SweepRow

Draw = Callable[[Any], None]

# Okabe and Ito's colours, apart also for those who see fewer; readable on white and on dark grey.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")

# Characters of a label.
_LONGEST = 48
# Inches: of a plot, and of a bar with its label.
_HEIGHT, _BAR_HEIGHT = 3.2, 0.19

_MADE_BY_RUNTIME = re.compile(r"[A-Z][A-Za-z]*_\d+")


def _label(name: str) -> str:
    """A name beside a line or a bar; of a long one the beginning, for the plot needs room too."""
    shown = printable(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def svg_of(title: str, draw: Draw) -> str:
    """Returns one plot as SVG; its black is the page's ink.

    Args:
        title: ids in the SVG are made from it, so that they do not change from run to run.
        draw: draws on the axes that it is given.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", extra="report")
    figure_module = require("matplotlib.figure", extra="report")
    # text stays text
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 10, "text.parse_math": False}
    ):
        figure = figure_module.Figure(figsize=(5, _HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    drawing = buffer.getvalue()
    drawing = re.sub(r"#000000|black", "currentColor", drawing[drawing.index("<svg") :])
    # matplotlib writes no colour for black text: SVG's own black would not follow the theme
    return drawing.replace("<text ", '<text fill="currentColor" ')


def batch_figure(axes: Any, rows: Iterable[SweepRow]) -> None:
    """Draws throughput by batch, a line for each engine and number of threads."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        name = _label(row.engine) + (
            f", {row.threads} thread{'s' * (row.threads > 1)}" if row.threads else ""
        )
        if row.throughput_per_second is not None:
            lines.setdefault(name, []).append((row.batch, row.throughput_per_second))
    for (name, points), color in zip(lines.items(), itertools.cycle(_COLORS), strict=False):
        axes.plot(*zip(*sorted(points), strict=True), "o-", color=color, label=name)
    axes.set_ylim(bottom=0)
    axes.set(xlabel="batch", ylabel="images/s")
    _legend_above(axes)


def latency_figure(axes: Any, rows: Sequence[EngineReport]) -> None:
    """Draws for each time the share of single inferences that took less."""
    for row, color in zip(rows, _COLORS, strict=False):
        assert row.latency is not None
        times = sorted(ns / 1e6 for ns in row.latency.samples_ns)
        if times:
            shares = [100 * (i + 1) / len(times) for i in range(len(times))]
            axes.step(times, shares, where="post", label=_label(row.name), color=color)
    # a handful of outliers would press everything else into a corner
    axes.set_xlim(right=1.15 * max(row.latency.p99_ms for row in rows if row.latency))
    axes.set(xlabel="ms", ylabel="% of runs")
    axes.legend(frameon=False, labelcolor="black")


def trade_figure(axes: Any, rows: Sequence[EngineReport]) -> None:
    """Draws top-1 against latency, of rows that have both."""
    values = []
    for row, color in zip(rows, _COLORS, strict=False):
        if row.latency is None or row.accuracy is None or row.accuracy.labels is None:
            continue
        top1 = row.accuracy.labels.top1_percent
        values.append(top1)
        axes.plot(row.latency.p50_ms, top1, "o", color=color, label=_label(row.name))
    axes.margins(x=0.25)
    # two points at least: a narrower axis makes cliffs of hundredths
    axes.set_ylim(min(values) - 1, max(values) + 1)
    axes.set(xlabel="latency p50, ms", ylabel="top-1, %")
    axes.legend(frameon=False, labelcolor="black")


def memory_figure(axes: Any, rows: Sequence[EngineReport]) -> None:
    """Draws the memory of each engine's process, while it is loaded and after."""
    names = [_label(row.name) for row in rows]
    load = [row.memory.load_peak_bytes / 2**20 for row in rows if row.memory]
    steady = [row.memory.steady_bytes / 2**20 for row in rows if row.memory]
    places = range(len(names))
    axes.barh(
        [place + 0.2 for place in places], load, height=0.36, label="at load", color=_COLORS[4]
    )
    axes.barh(
        [place - 0.2 for place in places], steady, height=0.36, label="steady", color=_COLORS[0]
    )
    axes.set_yticks(list(places), names)
    axes.invert_yaxis()
    axes.set(xlabel="MiB resident")
    _legend_above(axes)


def blocks_figure(axes: Any, row: EngineReport) -> None:
    """Draws the sums of an engine's layer times by block, the 20 slowest blocks."""
    sums: dict[str, float] = {}
    for layer in row.layer_times:
        # a runtime's own nodes ("Convert_2725") belong to no module
        named = [module for module in layer.modules if not _MADE_BY_RUNTIME.fullmatch(module)]
        block = block_of(named[0]) if named else f"({layer.kind})"
        sums[block] = sums.get(block, 0.0) + layer.median_ms
    most = sorted(sums.items(), key=lambda item: item[1])[-20:]
    # twenty labels need more height than other plots have
    axes.figure.set_figheight(max(_HEIGHT, _BAR_HEIGHT * len(most) + 0.7))
    axes.barh([_label(name) for name, _ in most], [ms for _, ms in most], color=_COLORS[0])
    axes.set(xlabel="ms")


def _legend_above(axes: Any) -> None:
    axes.legend(frameon=False, labelcolor="black", ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
