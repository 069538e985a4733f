"""QOperator form written as Q/DQ pairs: the same codes, or left as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.graph.lint import lint
from edge_scnet.graph.qoperator import to_pairs
from edge_scnet.graph.quantized_file import read_quantized
from tests.helpers.qoperators import MICROSOFT, qoperator_model


def tensors(model: onnx.ModelProto, names: list[str], image: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors of the inside by ONNX Runtime, the graph as it is written."""
    observed = onnx.ModelProto.FromString(model.SerializeToString())
    outputs = {value.name for value in observed.graph.output}
    observed.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in outputs
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = ort.InferenceSession(
        observed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(names, {"x": image}), strict=True))


def test_every_operator_gives_the_same_codes_in_both_forms(tmp_path: Path) -> None:
    source = qoperator_model()
    onnx.save(source, tmp_path / "codes.onnx")
    file = read_quantized(tmp_path / "codes.onnx")
    written = ir.to_proto(file.model)
    onnx.checker.check_model(written, full_check=True)
    assert not {node.op_type for node in written.graph.node if node.domain or "QL" in node.op_type}
    assert lint(file.model, "openvino") == ()
    # under their own names: what a user knows of the file is found again
    names = [node.output[0] for node in source.graph.node]
    image = np.random.default_rng(1).standard_normal((1, 4, 8, 8)).astype(np.float32)
    before, after = (tensors(model, names, image) for model in (source, written))
    for name in names:
        assert before[name].dtype == after[name].dtype, name
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
        assert len(np.unique(before[name])) > 3, f"{name} shows nothing"
    assert file.notes == (
        "opset 12 is lifted to 13",
        "11 QLinear operators are written as Q/DQ pairs",
    )


def node_model(node: onnx.NodeProto, *constants: onnx.TensorProto) -> ir.Model:
    """A single operator that reads the codes "q" and gives "y"."""
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("q", TensorProto.UINT8, [1, 4, 4, 2])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [
            numpy_helper.from_array(np.float32(0.1), "s"),
            numpy_helper.from_array(np.uint8(3), "z"),
            *constants,
        ],
    )
    imports = [helper.make_opsetid("", 13), helper.make_opsetid(MICROSOFT, 1)]
    return ir.from_proto(helper.make_model(graph, opset_imports=imports, ir_version=8))


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node(
            "QLinearGlobalAveragePool",
            ["q", "s", "z", "s", "z"],
            ["y"],
            domain=MICROSOFT,
            channels_last=1,
        ),
        helper.make_node(
            "QLinearSoftmax", ["q", "s", "z", "s", "z"], ["y"], domain=MICROSOFT, axis=1, opset=11
        ),
        helper.make_node("MatMulInteger", ["q", "q"], ["y"]),
    ],
    ids=["channels last", "softmax over several axes", "dynamic"],
)
def test_what_has_no_form_as_pairs_is_left_and_named(node: onnx.NodeProto) -> None:
    model = node_model(node)
    assert to_pairs(model) == 0
    (left,) = model.graph
    assert left.op_type == node.op_type
    (finding,) = (f for f in lint(model, "openvino") if f.rule == "qoperator")
    assert node.op_type in finding.problem and "quant_format=QuantFormat.QDQ" in finding.fix


def test_a_scale_that_is_computed_is_left_to_the_lint() -> None:
    node = helper.make_node(
        "QLinearSigmoid", ["q", "half", "z", "s", "z"], ["y"], domain=MICROSOFT, name="computed"
    )
    model = node_model(node)
    scale = ir.node("Mul", [model.graph.initializers["s"]] * 2, name="half")
    scale.outputs[0].name = "half"
    (sigmoid,) = model.graph
    model.graph.insert_before(sigmoid, scale)
    sigmoid.replace_input_with(1, scale.outputs[0])
    assert to_pairs(model) == 0
    assert [f.node for f in lint(model, "openvino") if f.rule == "qoperator"] == ["computed"]
