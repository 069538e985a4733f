"""What takes from INT8's speed, by layer."""

from __future__ import annotations

from typing import Literal

from edge_scnet.config.target import Gates
from edge_scnet.pipeline import layers
from edge_scnet.report import costs, notes, verdict
from edge_scnet.report.run_report import CostlyLayer
from edge_scnet.report.speed import judge_speed
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.base import ExecutedLayer
from tests.helpers.reports import report


def test_the_finding_on_speed_names_copies_and_float_convolutions() -> None:
    def layer(kind: str, precision: str, nodes: tuple[str, ...], name: str = "") -> ExecutedLayer:
        return ExecutedLayer(
            kind=kind, precision=precision, nodes=nodes, name=name, is_copy=kind == "Reformat"
        )

    executed = [
        layer("CaskConvolution", "int8", ("layer1.0.conv1",), "k1"),
        layer("CaskConvolution", "fp16", ("layer1.0.conv2", "relu"), "k2"),
        layer(
            "Reformat",
            "fp16",
            (),
            "Reformatting CopyNode for Input Tensor 0 to layer2.0.conv1 + layer2.0.relu",
        ),
        *(layer("Reformat", "int8", (f"m{i}",), f"r{i}") for i in range(3)),
    ]
    summary = layers.summary_of_layers(
        executed, runtime_named("tensorrt"), int8=True, times_ms={"k1": 0.5, "unknown": 0.1}
    )
    assert summary.convolutions == {"int8": 1, "fp16": 1} and summary.float_convolutions == (
        "layer1.0.conv2",
    )
    assert summary.copies == ("layer2.0.conv1", "m0", "m1", "m2")
    assert [(t.name, t.kind, t.precision, t.modules, t.median_ms) for t in summary.layer_times] == [
        ("k1", "CaskConvolution", "int8", ("layer1.0.conv1",), 0.5),
        ("unknown", "?", "?", (), 0.1),
    ]
    speed = judge_speed([], gates=Gates(), batch=1)
    told = verdict.explained(
        speed, copies=summary.copies, float_convolutions=summary.float_convolutions
    )
    assert (
        told.message
        == f"{speed.message} What takes from it: 4 layers only copy data (layer2.0.conv1, m0, m1,"
        " ...); 1 convolution in float (layer1.0.conv2)."
    )
    assert verdict.explained(speed, copies=(), float_convolutions=()) == speed
    told = verdict.explained(speed, copies=(), float_convolutions=("a",), not_int8=("a", "fc"))
    assert told.message.endswith("1 convolution in float (a); 1 layer not in INT8 (fc).")
    assert not layers.summary_of_layers(executed, runtime_named("tensorrt"), int8=False).copies


def test_kernels_whose_kind_does_not_tell_are_counted_by_the_nodes_that_they_name() -> None:
    """Myelin's own kinds: a convolution of 1 x 1 is a "gemm", others are in a "fusion"."""

    def layer(kind: str, precision: str, *nodes: str, is_copy: bool = False) -> ExecutedLayer:
        return ExecutedLayer(
            kind=kind, precision=precision, nodes=nodes, name=kind, is_copy=is_copy
        )

    executed = [
        layer("correlation", "int8", "a", "a/relu"),
        layer("kgen", "fp16", "a"),
        layer("Reformat", "fp16", "b", is_copy=True),
        layer("gemm", "int8", "b"),
        layer("fusion", "fp16", "c", "d"),
        layer("kgen", "fp16", "c", "d"),
        layer("kgen", "fp16", "pool"),
    ]
    found = layers.summary_of_layers(
        executed, runtime_named("tensorrt"), int8=True, nodes=("a", "b", "c", "d", "gone")
    )
    assert found.convolutions == {"int8": 2, "fp16": 1} and found.float_convolutions == ("c",)
    assert found.other_layers == {"fp16": 4}
    by_kind = layers.summary_of_layers(executed, runtime_named("tensorrt"), int8=True)
    assert by_kind.convolutions == {"int8": 1}


def test_the_dearest_copies_and_float_layers_are_named_with_their_times_and_what_to_do() -> None:
    """Times are of a run by Python or of trtexec's profile alike: both name layers."""

    def layer(name: str, precision: str, writes: str, *, kind: str = "conv") -> ExecutedLayer:
        return ExecutedLayer(
            kind=kind,
            precision=precision,
            nodes=(name,),
            name=name,
            is_copy=kind == "Reformat",
            writes=writes,
        )

    executed = [
        layer("a", "int8", "int8"),
        layer("b", "fp16", "fp16"),
        layer("kept", "fp16", "fp16"),
        layer("type", "fp16", "int8", kind="Reformat"),
        layer("layout", "int8", "int8", kind="Reformat"),
        layer("untold", "?", "?", kind="Reformat"),
        layer("gate", "fp16", "fp16", kind="PointWise"),
        layer("idle", "fp16", "fp16", kind="PointWise"),
    ]
    times = {"a": 0.40, "b": 0.10, "kept": 0.05, "type": 0.06, "layout": 0.20, "untold": 0.01}
    times |= {"gate": 0.18}
    summary = layers.summary_of_layers(
        executed, runtime_named("tensorrt"), int8=True, times_ms=times, not_int8=("b",)
    )
    assert [(c.module, c.why, round(c.percent), c.precision) for c in summary.costly] == [
        ("layout", "copy", 20, "int8"),
        ("gate", "float layer", 18, "fp16"),
        ("b", "float convolution", 10, "fp16"),
        ("type", "copy", 6, "fp16"),
        ("kept", "float convolution", 5, "fp16"),
        ("untold", "copy", 1, "?"),
    ]
    advice = {c.module: c.advice for c in summary.costly}
    assert "the layout alone" in advice["layout"] and "another build" in advice["layout"]
    assert "fp16 becomes int8" in advice["type"] and "keep_float" in advice["type"]
    assert "TensorRT chose" in advice["b"] and "not quantized" in advice["kept"]
    assert "bounds what INT8 can gain" in advice["gate"] and "another build" in advice["untold"]
    speed = judge_speed([], gates=Gates(), batch=1)
    told = verdict.explained(
        speed,
        copies=summary.copies,
        float_convolutions=summary.float_convolutions,
        costly=summary.costly,
    )
    assert told.message.removeprefix(f"{speed.message} What takes from it: ") == (
        "3 layers only copy data: 0.270 ms, 27 % of its layers' time (layout 0.200 ms, type 0.060"
        " ms, untold 0.010 ms); 2 convolutions in float: 0.150 ms, 15 % of its layers' time (b"
        " 0.100 ms, kept 0.050 ms); 1 other layer in float: 0.180 ms, 18 % of its layers' time"
        " (gate 0.180 ms)."
    )
    for runtime, int8 in (("tensorrt", False), ("openvino", True)):
        found = layers.summary_of_layers(
            executed, runtime_named(runtime), int8=int8, times_ms=times
        )
        assert not found.costly


def test_what_to_do_is_told_of_the_three_dearest_layers_that_are_worth_it() -> None:
    def costly(module: str, why: Literal["copy", "float layer"], percent: float) -> CostlyLayer:
        return CostlyLayer(
            module=module,
            why=why,
            kind="k",
            precision="fp16",
            median_ms=percent / 100,
            percent=percent,
            advice="do this",
        )

    found = [costly("a", "copy", 20.0), costly("b", "float layer", 2.0), costly("c", "copy", 0.9)]
    made = report(int8={"costly": tuple(found)})
    row = made.engines[1]
    assert set(costs.advice_lines(row)) <= set(notes.facts(made))
    assert list(costs.advice_lines(row)) == [
        "int8, copy before a: 0.200 ms, 20 % of its layers' time; do this",
        "int8, float layer b: 0.020 ms, 2 % of its layers' time; do this",
    ]
    assert costs.float_words([costly("b", "float layer", 0.5)]) is None
