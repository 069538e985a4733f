"""Draws the figures of docs/explanation/ into docs/assets/explanation/.

    python docs/scripts/figures.py build/scnet20-fashion-mnist/cpu

The folder is that of a build with its report: the figures on thresholds and time are of its
statistics and its times. The one on OpenVINO compiles and runs a graph of a few nodes. The others
are formulae of the package.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.files import write_text
from edge_scnet.quantizer import thresholds
from edge_scnet.quantizer.ranges_file import load_ranges
from edge_scnet.report.store import load_report
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, paired_difference_interval

if TYPE_CHECKING:
    import onnx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ASSETS = Path(__file__).parents[1] / "assets" / "explanation"
INK, FP32, INT8, WARN = "#1f2933", "#7a869a", "#0b6e99", "#b3261e"
# Zero point and scale of the graph that OpenVINO computes wrongly.
ZERO_POINT, SCALE = 85, 4.0 / 255.0


def main() -> None:
    """Draws all figures, those of a build from the folder that is named."""
    build = Path(sys.argv[1])
    ASSETS.mkdir(parents=True, exist_ok=True)
    draw_thresholds(build / "ranges.npz")
    draw_saturation()
    draw_border()
    draw_rounds(build / "report.json")
    draw_images()


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
    import onnx_ir as ir
    import openvino

    from edge_scnet.graph.run import run_onnx

    model = _pool_graph()
    image = np.random.default_rng(0).uniform(-1.3, 2.6, (1, 8, 16, 16)).astype(np.float32)
    ((right,),) = run_onnx(ir.from_proto(model), [image])
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    engine = core.compile_model(core.read_model(model.SerializeToString()), "CPU", config)
    error = (engine(image)[0] - right).mean(axis=(0, 1))
    figure, axes = _figure(4.6, 3.4)
    peak = float(np.abs(error).max())
    shown = axes.imshow(error, cmap="RdBu", vmin=-peak, vmax=peak)
    figure.colorbar(shown, ax=axes, label="engine minus graph")
    axes.set_xticks([])
    axes.set_yticks([])
    corner = -ZERO_POINT * SCALE * 5 / 9
    version = openvino.__version__.split("-")[0]
    axes.set_xlabel(f"edge {error[0, 3]:+.2f}, corner {error[0, 0]:+.2f} (formula {corner:+.2f})")
    axes.set_title(f"OpenVINO {version}", fontsize=9)
    _save(figure, "border")


def _pool_graph() -> onnx.ModelProto:
    """A convolution, Q/DQ with a zero point of 85, and a padded average pool that counts zeros."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((8, 8, 1, 1), np.float32)
    weights[np.arange(8), np.arange(8)] = 1.0
    stored = {
        "w": weights,
        "s": np.array(SCALE, np.float32),
        "z": np.array(ZERO_POINT, np.uint8),
        "ws": np.array(1.0 / 127.0, np.float32),
        "wz": np.array(0, np.int8),
    }
    pair, weight_pair = ("s", "z"), ("ws", "wz")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *pair], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", *pair], ["xd"]),
        helper.make_node("QuantizeLinear", ["w", *weight_pair], ["wq"]),
        helper.make_node("DequantizeLinear", ["wq", *weight_pair], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"], name="conv"),
        helper.make_node("QuantizeLinear", ["c", *pair], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", *pair], ["cd"]),
        helper.make_node(
            "AveragePool",
            ["cd"],
            ["p"],
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            count_include_pad=1,
        ),
        helper.make_node("QuantizeLinear", ["p", *pair], ["pq"]),
        helper.make_node("DequantizeLinear", ["pq", *pair], ["y"]),
    ]
    shape = [1, 8, 16, 16]
    graph = helper.make_graph(
        nodes,
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


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
