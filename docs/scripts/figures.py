"""Draws the figures of docs/explanation/ into docs/assets/explanation/, and one of docs/how-to/.

    python docs/scripts/figures.py build/scnet20-fashion-mnist/cpu

The folder is that of a build with its report: the figures on thresholds and time are of its
statistics and its times. The one on OpenVINO is of a committed result of a benchmark. The others
are formulae of the package.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.files import write_text
from edge_scnet.core.json_records import read_json
from edge_scnet.quantizer import thresholds
from edge_scnet.quantizer.ranges_file import load_ranges
from edge_scnet.report.blocks import blocks_of
from edge_scnet.report.network_svg import network_svg
from edge_scnet.report.run_report import timed_row
from edge_scnet.report.store import load_report
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, paired_difference_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "docs" / "assets" / "explanation"
HOW_TO = ROOT / "docs" / "assets" / "how-to"
RESULTS = ROOT / "tests" / "benchmarks" / "results"
INK, FP32, INT8, WARN = "#1f2933", "#7a869a", "#0b6e99", "#b3261e"


def main() -> None:
    """Draws all figures, those of a build from the folder that is named."""
    build = Path(sys.argv[1])
    ASSETS.mkdir(parents=True, exist_ok=True)
    HOW_TO.mkdir(parents=True, exist_ok=True)
    draw_thresholds(build / "ranges.npz")
    draw_saturation()
    draw_border()
    draw_rounds(build / "report.json")
    draw_images()
    draw_network(build / "report.json")


def draw_network(report: Path) -> None:
    """Draws the blocks of a build's INT8 engine as its page does, on white paper."""
    read = load_report(report)
    row = timed_row(read)
    assert row is not None
    svg = network_svg("The network by block", blocks_of(row, read.noise))
    paper = '<rect width="100%" height="100%" fill="white"/>'
    head, end, body = svg.replace("currentColor", INK).partition(">\n")
    font = ' font-family="system-ui, Segoe UI, Roboto, Helvetica Neue, sans-serif"'
    size = ' width="560"'
    write_text(HOW_TO / "network.svg", f"{head}{font}{size}{end}{paper}\n{body}\n")


def draw_thresholds(ranges: Path) -> None:
    """Draws the histogram of the tensor that percentile cuts most, with the methods' thresholds."""
    tensors = load_ranges(ranges).tensors
    name, stats = max(
        ((name, stats) for name, stats in tensors.items() if stats.counts.size),
        key=lambda item: item[1].maximum / max(thresholds.percentile(item[1], 99.999)[1], 1e-9),
    )
    figure, axes = _figure(7.2, 2.9)
    step = 8
    bins = stats.counts.size // step * step
    counts = stats.counts[:bins].reshape(-1, step).sum(axis=1)
    edges = (stats.first_bin + np.arange(counts.size) * step) * stats.bin_width
    axes.fill_between(edges, np.maximum(counts, 0.5), 0.5, step="post", color=FP32, alpha=0.5)
    axes.set_yscale("log")
    axes.set_ylim(0.5, counts.max() * 20)
    methods = {
        "minmax": thresholds.min_max(stats)[1],
        "percentile": thresholds.percentile(stats, 99.999)[1],
        "mse": thresholds.mse(stats)[1],
        "entropy": thresholds.entropy(stats)[1],
    }
    for method, high in methods.items():
        axes.axvline(high, color=INT8 if method == "percentile" else INK, linewidth=1.2)
        axes.annotate(
            method,
            (high, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3 if method in ("entropy", "percentile") else -3, -4),
            textcoords="offset points",
            rotation=90,
            ha="left" if method in ("entropy", "percentile") else "right",
            va="top",
        )
    axes.set_xlabel(f"value of {name} (scnet20, Fashion-MNIST)")
    axes.set_ylabel("values a bin")
    _save(figure, "thresholds")


def draw_saturation() -> None:
    """Draws the largest sum of two products against what 16 bits hold."""
    bits = np.arange(5, 9)
    sums = 2 * 255 * (2 ** (bits - 1) - 1)
    figure, axes = _figure(7.2, 2.2)
    limit = 2**15 - 1
    axes.barh([str(b) for b in bits], sums, color=[WARN if s > limit else INT8 for s in sums])
    for row, value in enumerate(sums):
        axes.text(value - 700, row, f"{value:,}", va="center", ha="right", color="white")
    axes.axvline(limit, color=INK, linewidth=1.2)
    axes.text(limit + 700, -0.15, f"16 bits: {limit:,}", va="center")
    axes.set_xlim(0, 75_000)
    axes.set_ylabel("bits of a weight")
    axes.set_xlabel("largest 255 x weight + 255 x weight")
    _save(figure, "saturation")


def draw_border() -> None:
    """Draws what OpenVINO's engine of a padded average pool differs by from the graph."""
    result = read_json(RESULTS / "openvino_patterns.json")
    found = result["figures"]["border"]
    error = np.array(found["error"])
    figure, axes = _figure(4.6, 3.4)
    peak = float(np.abs(error).max())
    shown = axes.imshow(error, cmap="RdBu", vmin=-peak, vmax=peak)
    figure.colorbar(shown, ax=axes, label="engine minus graph")
    axes.set_xticks([])
    axes.set_yticks([])
    # of the nine cells of the window, five are padding in a corner
    corner = -found["zero_point"] * found["scale"] * 5 / 9
    axes.set_xlabel(f"edge {error[0, 3]:+.2f}, corner {error[0, 0]:+.2f} (formula {corner:+.2f})")
    axes.set_title(f"OpenVINO {result['environment']['packages']['openvino']}", fontsize=9)
    _save(figure, "border")


def draw_rounds(report: Path) -> None:
    """Draws the median times of FP32 and INT8 by round, and their ratio."""
    engines = {engine.name: engine for engine in load_report(report).engines}
    medians = {}
    for name in ("fp32", "int8"):
        latency = engines[name].latency
        assert latency is not None
        times = np.split(np.array(latency.samples_ns) / 1e6, np.cumsum(latency.blocks)[:-1])
        medians[name] = np.array([np.median(block) for block in times])
    figure, axes = _figure(7.2, 3.6, rows=2)
    rounds = np.arange(1, medians["fp32"].size + 1)
    for name, colour in (("fp32", FP32), ("int8", INT8)):
        axes[0].plot(rounds, medians[name], marker="o", markersize=3, color=colour, label=name)
    axes[0].set_ylabel("median, ms")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(frameon=False, ncols=2)
    ratio = medians["fp32"] / medians["int8"]
    axes[1].plot(rounds, ratio, marker="o", markersize=3, color=INK)
    axes[1].axhline(float(np.median(ratio)), color=INT8, linewidth=1.0)
    axes[1].set_ylim(0, ratio.max() * 1.25)
    axes[1].set_ylabel("fp32 / int8")
    axes[1].set_xlabel("round")
    axes[1].xaxis.get_major_locator().set_params(integer=True)
    _save(figure, "rounds")


def draw_images() -> None:
    """Draws the upper bound of the drop by the number of images, for three shares of changes."""
    figure, axes = _figure(7.2, 3.0)
    images = np.unique(np.geomspace(50, 20_000, 120).astype(int))
    for share, colour in ((0.0, INT8), (0.5, FP32), (2.0, INK)):
        bounds = []
        for count in images:
            each = count * share / 200.0
            high = paired_difference_interval(each, each, float(count), z=Z_ONE_SIDED_95)[1]
            bounds.append(100.0 * high)
        label = f"{share:g} % of the images changed, as many lost as won"
        axes.plot(images, bounds, color=colour, label="nothing changed" if share == 0 else label)
    axes.axhline(0.5, color=WARN, linewidth=1.0)
    axes.text(52, 0.53, "limit: 0.5 points", color=WARN)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,g}")
    axes.set_xlabel("evaluation images")
    axes.set_ylabel("upper bound of the drop, points")
    axes.legend(frameon=False)
    _save(figure, "images")


def _figure(width: float, height: float, *, rows: int = 1) -> tuple[Figure, Axes]:
    import matplotlib

    matplotlib.use("Agg")
    # a fixed salt: the same figure is the same file
    matplotlib.rcParams.update({"svg.hashsalt": "edge-scnet", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        rows, 1, figsize=(width, height), layout="constrained", sharex=rows > 1
    )
    for each in np.atleast_1d(axes):
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, name: str) -> None:
    import io

    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, facecolor="white")
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    write_text(ASSETS / f"{name}.svg", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
