"""Strides of convolutions of one point, taken out of them for OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from edge_scnet.config.target import load_target
from edge_scnet.graph.model import save
from edge_scnet.graph.run import run_onnx
from edge_scnet.quantizer import recipe
from edge_scnet.quantizer.strides import stride_outside
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.runtimes.openvino import OPENVINO
from tests.helpers.float_graphs import (
    FOUR_IMAGES,
    RELU,
    SCHEME,
    TENSORRT,
    biased_conv,
    ir_graph,
    named_node,
    random_weights,
)
from tests.helpers.statistics import calibrated


def point(source: str, weight: str, output: str, stride: int = 2) -> onnx.NodeProto:
    return helper.make_node(
        "Conv", [source, weight], [output], name=output, strides=[stride, stride]
    )


def constants() -> dict[str, np.ndarray]:
    made = random_weights("w1", "w2")
    for name in ("p1", "p2"):
        made[name] = made["w1"][:, :, 1:2, 1:2] * (1 if name == "p1" else -1)
    return made


BLOCK = [
    biased_conv("input", "w1", "a"),
    RELU,
    point("r", "p1", "left"),
    point("r", "p2", "right"),
    named_node("Add", ["left", "right"], "y"),
]


def test_both_convolutions_of_a_block_read_one_pool_and_compute_the_same() -> None:
    model = ir_graph(BLOCK, constants())
    changed = stride_outside(model)
    onnx.checker.check_model(ir.serde.serialize_model(changed), full_check=True)
    assert [node.op_type for node in changed.graph] == [
        "Conv",
        "Relu",
        "MaxPool",
        "Conv",
        "Conv",
        "Add",
    ]
    pooled = changed.graph[2].outputs[0]
    assert [int(d) for d in pooled.shape or ()] == [1, 4, 4, 4]
    batches = np.split(FOUR_IMAGES, 4)
    for wanted, found in zip(run_onnx(model, batches), run_onnx(changed, batches), strict=True):
        np.testing.assert_allclose(found[0], wanted[0], atol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        [*BLOCK[:2], point("r", "p1", "left", 1), point("r", "p2", "y")],
        [*BLOCK[:2], biased_conv("r", "w2", "left"), point("r", "p2", "y")],
        [*BLOCK[:2], biased_conv("r", "w2", "y", strides=[2, 2])],
    ],
    ids=["another stride", "another reader", "a wider kernel"],
)
def test_a_graph_in_which_openvino_moves_nothing_stays_as_it_is(
    nodes: list[onnx.NodeProto],
) -> None:
    model = ir_graph(nodes, constants())
    assert stride_outside(model) is model


def test_openvino_computes_them_from_codes(tmp_path: Path) -> None:
    model = ir_graph(BLOCK, constants())
    save(model, tmp_path / "m.onnx")
    found = calibrated(tmp_path / "m.onnx", FOUR_IMAGES)
    prepared = recipe.prepare(model, found, SCHEME, weight_bits=7, images=FOUR_IMAGES)
    save(recipe.assemble(prepared).model, tmp_path / "q.onnx")
    built = OPENVINO.build(tmp_path / "q.onnx", load_target("cpu"), tmp_path / "q.xml")
    with OPENVINO.open(built.engine, OpenOptions()) as session:
        executed = session.executed_precisions()
    convolutions = [layer for layer in executed if layer.kind == "Convolution"]
    assert [layer.precision for layer in convolutions] == ["u8", "u8", "u8"]
    # TensorRT moves no strides
    trt = recipe.prepare(model, found, TENSORRT, weight_bits=8, images=FOUR_IMAGES)
    assert "MaxPool" not in [node.op_type for node in trt.model.graph]
