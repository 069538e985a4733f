"""Layers of FP32 and INT8 on the page: one chart, one order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_scnet.report import page_layers, plots
from edge_scnet.report.findings import Figure, judged
from edge_scnet.report.run_report import LayerTime, RunReport
from edge_scnet.stats.timing import latency_stats
from tests.helpers.reports import report


def layer(module: str, ms: float, precision: str = "f32", kind: str = "Convolution") -> LayerTime:
    return LayerTime(name=module, kind=kind, precision=precision, modules=(module,), median_ms=ms)


def made() -> RunReport:
    plain = report()
    fp32, int8 = plain.engines
    default = replace(fp32, name="default", role="default", layer_times=(layer("conv1", 9.0),))
    fp32 = replace(fp32, layer_times=(layer("conv1", 1.0), layer("layer1.0.a", 3.0)))
    quantized = (
        layer("layer1.0.a", 1.5, "u8"),
        layer("layer1.0.b", 0.25, "u8"),
        layer("conv1", 0.5, "u8"),
        layer("Convert_27", 0.125, kind="Convert"),
    )
    return replace(plain, engines=(replace(int8, layer_times=quantized), fp32, default))


def test_the_reference_is_first_and_the_default_precision_left_out() -> None:
    assert [row.name for row in page_layers.layered(made())] == ["fp32", "int8"]


def test_blocks_stand_in_the_order_of_the_network_side_by_side() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    plots.blocks_figure(axes, page_layers.layered(made()))
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["conv1", "layer1.0", "(Convert)"]
    fp32, int8 = axes.containers
    assert [bar.get_width() for bar in fp32] == [1.0, 3.0, 0.0]
    assert [bar.get_width() for bar in int8] == [0.5, 1.75, 0.125]
    assert fp32.get_label() == "fp32" and int8.get_label() == "int8"


def test_the_sums_and_what_is_in_float_are_told() -> None:
    rows = page_layers.layered(made())
    fp32, int8 = rows
    told = replace(int8, float_convolutions=tuple(f"c{i}" for i in range(9)), copies=("c1",))
    first, *others = page_layers.words_of((fp32, told))
    assert first.startswith("The sums: fp32 4.000 ms in 2 layers, int8 2.375 ms in 4 layers.")
    assert others == [
        "int8: 1 copy (c1).",
        "int8: convolutions in float: c0, c1, c2, c3, c4, c5, c6, c7, ...",
    ]


def test_kinds_have_a_column_for_each_engine() -> None:
    assert list(page_layers.kinds(page_layers.layered(made()))) == [
        ("Convolution", "f32", "4.000", "-"),
        ("Convolution", "u8", "-", "2.250"),
        ("Convert", "f32", "-", "0.125"),
    ]


def test_accuracy_is_drawn_with_its_interval_and_the_limit() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    plots.trade_figure(axes, report().engines, limit_pp=0.5)
    (line,) = [text.get_text() for text in axes.texts]
    assert line == "limit: 0.5 pp below fp32"
    across, (_, int8_up) = axes.containers[0].lines[2], axes.containers[1].lines[2]
    assert len(across) == 1  # the reference has no interval of its own
    ends = int8_up.get_segments()[0][:, 1]
    assert ends.round(2).tolist() == [89.81, 90.19]
    low, high = axes.get_ylim()
    assert low < 89.5 and high > 90.19


def test_outliers_do_not_press_the_times_into_a_corner() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    times = [[10_000_000] * 95 + [300_000_000] * 5]
    rows = report(int8={"latency": latency_stats(times)}).engines
    plots.latency_figure(axes, rows)
    assert axes.get_xlim()[1] == pytest.approx(20.0)


def test_the_limit_is_drawn_where_it_is_of_the_figure_that_is_drawn() -> None:
    top1 = judged("accuracy", "top-1 drop", Figure(measured=0.1, unit="pp", limit=0.5), "pass", "")
    other = replace(top1, metric="F1 of labels", limit=2.0)
    part = replace(top1, unit="dB", limit=10.0)
    row = report().engines[0]
    assert plots.limit_of([part, other, top1], row) == 0.5
    assert plots.limit_of([part, other], row) is None
