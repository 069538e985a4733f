"""Operators that TensorRT does not know are named by their node before its parser is asked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import onnx_ir as ir
import pytest
from onnx import parser

from edge_scnet.compile.forms import check_operators
from edge_scnet.config.target import load_target
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.lint import lint
from edge_scnet.graph.tensorrt_operators import _TENSORRT_RTX, unknown_operators
from tests.helpers.tensorrt import needs_rtx


def _model(nodes: str) -> ir.Model:
    opsets = '["" : 20, "com.example" : 1]'
    proto = parser.parse_model(
        f"<ir_version: 10, opset_import: {opsets}> g (float[1,4] x) => (float[1,4] y) {{{nodes}}}"
    )
    for number, node in enumerate(proto.graph.node):
        node.name = f"n{number}"
    return ir.serde.deserialize_model(proto)


@pytest.mark.parametrize(
    ("nodes", "refusing"),
    [
        ("y = Relu(x)", set()),
        ("y = Unique(x)", {"8", "10", "rtx"}),
        ("y = LayerNormalization(x, x)", {"8"}),
        ("y = DeformConv(x, x, x)", {"8", "rtx"}),
        ("y = NonMaxSuppression(x, x)", {"rtx"}),
        ("y = NonZero(x)", {"rtx"}),
        ("y = com.example.Relu(x)", {"8", "10", "rtx"}),
    ],
)
def test_the_tables_of_versions(nodes: str, refusing: set[str]) -> None:
    cases = {"8": (True, False), "10": (False, False), "rtx": (False, True)}
    found = {
        name
        for name, (old, rtx) in cases.items()
        if list(unknown_operators(_model(nodes), tensorrt_8=old, rtx=rtx))
    }
    assert found == refusing


def test_nodes_and_reasons_are_named_in_graphs_inside_as_well() -> None:
    model = _model(
        "c = Cast<to = 9>(x) y = If (c) <then_branch = a () => (float[1,4] t) {t = Det(x)},"
        " else_branch = b () => (float[1,4] e) {e = Neg(x)}>"
    )
    assert [why for _, why in unknown_operators(model, tensorrt_8=False, rtx=False)] == [
        "TensorRT does not know Det"
    ]
    model = _model("u = com.example.Fused(x) y = Compress(u, x)")
    findings = [f for f in lint(model, "tensorrt", max_opset=20, rtx=True) if f.rule == "operator"]
    assert [(finding.node, finding.problem) for finding in findings] == [
        ("n0", "TensorRT-RTX does not know Fused of com.example"),
        ("n1", "TensorRT-RTX does not know Compress"),
    ]
    assert all(finding.severity == "error" for finding in findings)
    assert not [f for f in lint(model, "openvino", max_opset=20) if f.rule == "operator"]


def test_a_graph_is_refused_for_a_target_that_lacks_an_operator() -> None:
    model = _model("y = NonMaxSuppression(x, x)")
    check_operators(model, load_target("jetson"))
    with pytest.raises(ArtifactError, match=r"target rtx:\n  n0: TensorRT-RTX has no kernel"):
        check_operators(model, load_target("rtx"))
    target = load_target("jetson-xavier")
    assert target.board is not None
    with pytest.raises(ArtifactError, match="TensorRT 8 does not know Gelu") as error:
        check_operators(_model("y = Gelu(x)"), replace(target, batch=1))
    assert "--target cpu" in str(error.value.hint)


# What the parser says of every operator that this onnx knows: a process of its own, for its logger.
_ASK = """
import onnx, tensorrt_rtx_bindings as trt
logger = trt.Logger(trt.Logger.ERROR)
parser = trt.OnnxParser(trt.Builder(logger).create_network(0), logger)
names = {s.name for s in onnx.defs.get_all_schemas() if s.domain == ""}
print("known", *sorted(name for name in names if parser.supports_operator(name)))
"""


@needs_rtx
def test_the_parser_of_tensorrt_rtx_says_the_same() -> None:
    told = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True)
    line = next(line for line in told.stdout.splitlines() if line.startswith("known"))
    known = set(line.split()[1:])
    assert _TENSORRT_RTX - known == set()
    # some that are not in the table came with opsets that no target reads, 24 and newer
    assert known - _TENSORRT_RTX <= {"CausalConvWithState", "LinearAttention"}
