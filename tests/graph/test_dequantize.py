"""Q/DQ graphs without the rounding of activations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.errors import ArtifactError
from edge_scnet.graph.dequantize import dequantized
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.graph.quantized_file import read_quantized
from edge_scnet.graph.run import run_onnx
from tests.graph.test_quantized_file import CODES, SCALES, conv_model
from tests.helpers.qoperators import qoperator_model


def test_weights_are_what_their_codes_stand_for_and_activations_are_clipped(
    tmp_path: Path,
) -> None:
    onnx.save(conv_model(), tmp_path / "q.onnx")
    model = dequantized(read_quantized(tmp_path / "q.onnx").model, what="q.onnx")
    assert not is_quantized(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    image = np.random.default_rng(0).uniform(-3, 16, (1, 4, 2, 2)).astype(np.float32)
    ((output,),) = run_onnx(model, [image])
    # codes 0 to 255 with the zero point 7 and the scale 0.05, not rounded
    clipped = np.clip(image, -7 * 0.05, 248 * 0.05)
    assert (clipped != image).any(), "nothing was clipped"
    weights = CODES[:, :, 0, 0] * SCALES[:, None]
    expected = np.einsum("oc,nchw->nohw", weights, clipped)
    expected += (np.array([10, -20, 30]) * 0.001)[:, None, None]
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


def test_only_the_rounding_of_activations_separates_the_graphs(tmp_path: Path) -> None:
    """Also where a quantizer left a ReLU out in front of codes that begin at zero."""
    onnx.save(qoperator_model(), tmp_path / "codes.onnx")
    quantized = read_quantized(tmp_path / "codes.onnx").model
    exact = dequantized(quantized, what="codes.onnx")
    image = np.random.default_rng(1).standard_normal((1, 4, 8, 8)).astype(np.float32)
    ((coarse,),), ((fine,),) = run_onnx(quantized, [image]), run_onnx(exact, [image])
    assert quantized.graph.outputs[0].name == exact.graph.outputs[0].name == "y"
    # a few steps of the output's 0.02, after ten layers that round
    assert 0 < np.abs(coarse - fine).max() < 0.3 < np.ptp(coarse)
    # codes that only moved are not clipped twice
    assert sum(node.op_type == "Clip" for node in exact.graph) < sum(
        node.op_type == "QuantizeLinear" for node in quantized.graph
    )


def test_float_weights_behind_a_pair_are_rounded_to_their_codes() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=1),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    arrays = {
        "w": np.array([[0.26, 9.0], [-0.74, -9.0]], np.float32),
        "s": np.array([0.5, 0.05], np.float32),
        "z": np.array([0, 0], np.int8),
    }
    graph = helper.make_graph(
        nodes,
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    exact = dequantized(ir.from_proto(model), what="weights.onnx")
    ((output,),) = run_onnx(exact, [np.array([[1, 10]], np.float32)])
    # 0.26 is code 1, -0.74 code -1; 9 and -9 are beyond codes 127 and -128
    np.testing.assert_allclose(output, [[0.5 - 5.0, 6.35 - 64.0]], rtol=1e-6)


def test_codes_without_a_pair_are_refused(tmp_path: Path) -> None:
    model = conv_model()
    model.graph.output.append(helper.make_tensor_value_info("xq", TensorProto.UINT8, [1, 4, 2, 2]))
    onnx.save(model, tmp_path / "q.onnx")
    quantized = read_quantized(tmp_path / "q.onnx").model
    with pytest.raises(ArtifactError, match="are no pair of QuantizeLinear") as caught:
        dequantized(quantized, what="q.onnx")
    assert "edge-scnet inspect" in caught.value.hint


def test_dynamic_quantization_is_refused_by_name() -> None:
    node = helper.make_node("MatMulInteger", ["a", "b"], ["y"], name="product")
    graph = helper.make_graph(
        [node],
        "dynamic",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, [2, 2]) for name in "ab"],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [2, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with pytest.raises(ArtifactError, match="product is MatMulInteger") as caught:
        dequantized(ir.from_proto(model), what="dynamic.onnx")
    assert "QuantFormat.QDQ" in caught.value.hint
