"""The plots of `report.html`, as SVG."""

from __future__ import annotations

import html
import io
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_scnet.core.optional import require
from edge_scnet.core.printable import printable
from edge_scnet.graph.names import block_of
from edge_scnet.report.findings import Finding
from edge_scnet.report.run_report import JUDGED_ROLES, EngineReport
from edge_scnet.stats.figures import SweepRow

Draw = Callable[[Any], None]

# By what an engine is, in every plot the same: three parts in one or more to white and to the
# page's dark grey (WCAG 1.4.11), and apart also for those who see fewer colours.
_JUDGED, _REFERENCE, _DEFAULT = "#0072b2", "#7d8088", "#c26a00"
# After Okabe and Ito, for what has no role.
_COLORS = ("#0072b2", "#c26a00", "#009e73", "#cc79a7", "#3f97cf", "#d55e00")

# Characters of a label.
_LONGEST = 32
# Inches: of a plot, and of a bar with its label.
_WIDTH, _HEIGHT, _BAR_HEIGHT = 4.8, 2.9, 0.17
_MOST_BLOCKS = 20

_MADE_BY_RUNTIME = re.compile(r"[A-Z][A-Za-z]*_\d+")


def _label(name: str) -> str:
    """A name beside a line or a bar; of a long one the beginning, for the plot needs room too."""
    shown = printable(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def _color(row: EngineReport, number: int) -> str:
    if row.role in JUDGED_ROLES:
        return _JUDGED
    roles = {"reference": _REFERENCE, "default": _DEFAULT}
    return roles.get(row.role, _COLORS[number % len(_COLORS)])


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
        figure = figure_module.Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    drawing = buffer.getvalue()
    drawing = re.sub(r"#000000|black", "currentColor", drawing[drawing.index("<svg") :])
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
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
    batches = sorted({batch for points in lines.values() for batch, _ in points})
    if batches:
        axes.set_xticks(batches, map(str, batches))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="batch", ylabel="images/s")
    _legend_above(axes)


def latency_figure(axes: Any, rows: Sequence[EngineReport]) -> None:
    """Draws for each time the share of single inferences that took less."""
    for number, row in enumerate(rows):
        assert row.latency is not None
        times = sorted(ns / 1e6 for ns in row.latency.samples_ns)
        if times:
            shares = [100 * (i + 1) / len(times) for i in range(len(times))]
            color = _color(row, number)
            axes.step(times, shares, where="post", label=_label(row.name), color=color)
    # a handful of outliers would press everything else into a corner
    shown = [min(1.15 * row.latency.p99_ms, 2 * row.latency.p90_ms) for row in rows if row.latency]
    axes.set_xlim(right=max(shown))
    axes.set(xlabel="ms", ylabel="% of the runs below")
    _legend_above(axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accuracy:
    """What an engine is worth at its task, with its 95 % interval; FP32 has none."""

    name: str
    value: float
    low: float
    high: float


def accuracy_of(row: EngineReport) -> _Accuracy | None:
    """Returns an engine's top-1, or its task's first figure where FP32 has that too.

    The interval is that of the loss, from the reference's figure: both are of the same samples.
    """
    stats = row.accuracy
    if stats is None:
        return None
    if stats.labels is not None:
        labels, full = stats.labels, stats.labels.reference_top1_percent
        ends = (labels.top1_percent,) * 2
        if row.role != "reference":
            ends = (full - labels.drop_high_pp, full - labels.drop_low_pp)
        return _Accuracy(name="top-1, %", value=labels.top1_percent, low=ends[0], high=ends[1])
    metric = None if stats.task is None else stats.task.metrics[0]
    if metric is None or metric.reference is None:
        return None
    ends = (metric.value,) * 2
    if row.role != "reference" and metric.loss_low is not None and metric.loss_high is not None:
        sign = -1.0 if metric.higher_is_better else 1.0
        losses = (metric.loss_low, metric.loss_high)
        low, high = sorted(metric.reference + sign * loss for loss in losses)
        ends = (low, high)
    name = f"{metric.name}{metric.unit and ', ' + metric.unit}"
    return _Accuracy(name=name, value=metric.value, low=ends[0], high=ends[1])


def limit_of(findings: Iterable[Finding], row: EngineReport) -> float | None:
    """Returns the highest drop, in percentage points, of the figure that `accuracy_of` returns.

    None: the finding is of another figure, or has another unit.
    """
    metric, stats = "top-1 drop", row.accuracy
    if stats is not None and stats.labels is None and stats.task is not None:
        metric = stats.task.metrics[0].name
    limits = (
        finding.limit
        for finding in findings
        if finding.kind == "accuracy" and finding.metric == metric and finding.unit == "pp"
    )
    return next(limits, None)


def trade_figure(axes: Any, rows: Sequence[EngineReport], *, limit_pp: float | None = None) -> None:
    """Draws accuracy against latency with 95 % intervals, of rows that have both.

    Args:
        limit_pp: the highest drop from the reference, drawn as a line.
    """
    ends: list[float] = []
    for number, row in enumerate(rows):
        found, latency = accuracy_of(row), row.latency
        if found is None or latency is None:
            continue
        p50, value, color = latency.p50_ms, found.value, _color(row, number)
        low, high = latency.p50_low_ms or p50, latency.p50_high_ms or p50
        up = [[max(0.0, value - found.low)], [max(0.0, found.high - value)]]
        across = [[max(0.0, p50 - low)], [max(0.0, high - p50)]]
        bars = {"fmt": "none", "ecolor": color, "capsize": 3, "elinewidth": 1.2}
        axes.errorbar(p50, value, yerr=up if any(map(any, up)) else None, xerr=across, **bars)
        axes.plot(p50, value, "o", color=color, markersize=7, label=_label(row.name))
        axes.set(xlabel="latency p50, ms", ylabel=printable(found.name))
        ends += [found.low, found.high, value]
        if limit_pp is not None and row.role == "reference":
            ends.append(value - limit_pp)
            _draw_limit(axes, value - limit_pp, f"limit: {limit_pp:g} pp below {_label(row.name)}")
    axes.margins(x=0.25)
    # a narrower axis makes cliffs of hundredths
    spread = max(ends) - min(ends)
    room = max(0.12 * spread, 0.3 if "%" in axes.get_ylabel() else 0.02 * max(map(abs, ends)))
    axes.set_ylim(min(ends) - 1.5 * room, max(ends) + room)
    _legend_above(axes)


def _draw_limit(axes: Any, height: float, words: str) -> None:
    axes.axhline(height, color="black", linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        words,
        (0.99, height),
        xycoords=("axes fraction", "data"),
        xytext=(0, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8.5,
    )


def memory_figure(axes: Any, rows: Sequence[EngineReport]) -> None:
    """Draws the memory of each engine's process, while it is loaded and after."""
    measured = [row for row in rows if row.memory is not None]
    places = range(len(measured))
    for label, offset, color, of in (
        ("at load", -0.19, _COLORS[4], "load_peak_bytes"),
        ("steady", 0.19, _COLORS[0], "steady_bytes"),
    ):
        sizes = [getattr(row.memory, of) / 2**20 for row in measured]
        axes.barh([place + offset for place in places], sizes, 0.36, label=label, color=color)
        _ends(axes, [place + offset for place in places], sizes, "{:,.0f}")
    axes.set_yticks(list(places), [_label(row.name) for row in measured])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set(xlabel="MB resident")
    _legend_above(axes)


def block_times(row: EngineReport) -> dict[str, float]:
    """Returns the sums of an engine's layer times by block, in the order in which they run."""
    sums: dict[str, float] = {}
    for layer in row.layer_times:
        # a runtime's own nodes ("Convert_2725") belong to no module
        named = [module for module in layer.modules if not _MADE_BY_RUNTIME.fullmatch(module)]
        block = block_of(named[0]) if named else f"({layer.kind})"
        sums[block] = sums.get(block, 0.0) + layer.median_ms
    return sums


def blocks_figure(axes: Any, rows: Sequence[EngineReport]) -> None:
    """Draws layer times by block, of the 20 slowest blocks, engines side by side.

    They stand in the order of the first engine's network, of one scale.
    """
    times = [block_times(row) for row in rows]
    every = dict.fromkeys(itertools.chain.from_iterable(times))
    slowest = sorted(every, key=lambda block: -max(sums.get(block, 0.0) for sums in times))
    shown = [block for block in every if block in set(slowest[:_MOST_BLOCKS])]
    height = 0.8 / len(rows)
    # twenty labels need more height than other plots have
    inches = _BAR_HEIGHT * len(shown) * max(1.5, len(rows)) + 0.9
    axes.figure.set_figheight(max(_HEIGHT, inches))
    for number, (row, sums) in enumerate(zip(rows, times, strict=True)):
        offset = (number - (len(rows) - 1) / 2) * height
        axes.barh(
            [place + offset for place in range(len(shown))],
            [sums.get(block, 0.0) for block in shown],
            height,
            label=_label(row.name),
            color=_color(row, number),
        )
    axes.set_yticks(range(len(shown)), [_label(block) for block in shown])
    axes.invert_yaxis()
    axes.set(xlabel="ms")
    _legend_above(axes)


def _ends(axes: Any, places: Sequence[float], sizes: Sequence[float], form: str) -> None:
    """Writes each bar's value behind it."""
    for place, size in zip(places, sizes, strict=True):
        axes.annotate(
            form.format(size),
            (size, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )


def _legend_above(axes: Any) -> None:
    columns = min(4, len(axes.get_legend_handles_labels()[0])) or 1
    axes.legend(
        frameon=False,
        labelcolor="black",
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.4,
    )
