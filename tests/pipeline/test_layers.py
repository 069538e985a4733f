"""What takes from INT8's speed, by layer."""

from __future__ import annotations

from edge_scnet.config.target import Gates
from edge_scnet.pipeline import layers
from edge_scnet.report import verdict
from edge_scnet.report.speed import judge_speed
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.base import ExecutedLayer


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
