"""The forms that TensorRT takes: FP16 around INT8, one scale in both types, weights as codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.compile import forms, half
from edge_scnet.graph import lint
from edge_scnet.graph.model import save
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.tensorrt import one_convolution, outputs
from tests.helpers.tool import Built


def test_fp16_around_int8_is_in_the_file(
    jetson_qdq: ir.Model, built_ranges: Ranges, eval_batches: list[np.ndarray]
) -> None:
    made = half.to_half(jetson_qdq, built_ranges.tensors)
    assert made.kept == {}
    onnx.checker.check_model(ir.serde.serialize_model(made.model), full_check=True)
    scales = {
        node.inputs[1].dtype for node in made.model.graph if node.op_type == "DequantizeLinear"
    }
    assert scales == {ir.DataType.FLOAT16}
    assert not any(
        v.dtype == ir.DataType.FLOAT
        for n in made.model.graph
        for v in n.outputs
        if n.op_type in ("Conv", "Add", "Mul")
    )
    assert {value.dtype for value in (*made.model.graph.inputs, *made.model.graph.outputs)} == {
        ir.DataType.FLOAT
    }
    # one Cast, of the output: the input goes straight into its Q
    assert [node.op_type for node in made.model.graph].count("Cast") == 1
    quality = sqnr_db(outputs(jetson_qdq, eval_batches), outputs(made.model, eval_batches))
    assert quality is not None and quality > 30


def test_the_pair_of_a_tensor_says_one_scale_in_both_types(
    jetson_qdq: ir.Model, built_ranges: Ranges
) -> None:
    model = half.to_half(jetson_qdq, built_ranges.tensors).model
    for node in model.graph:
        if node.op_type == "QuantizeLinear":
            reader = next(use.node for use in node.outputs[0].uses())
            first, second = (
                n.inputs[1].const_value.numpy().astype(np.float32) for n in (node, reader)
            )
            np.testing.assert_array_equal(first, second)


def test_a_tensor_beyond_fp16_stays_fp32_and_is_named(
    jetson_qdq: ir.Model, built_ranges: Ranges, eval_batches: list[np.ndarray]
) -> None:
    name = "layer2.0.conv3"
    large = {**built_ranges.tensors, name: replace(built_ranges.tensors[name], maximum=1e6)}
    made = half.to_half(jetson_qdq, large)
    assert name in made.kept and "1,000,000" in made.kept[name]
    onnx.checker.check_model(ir.serde.serialize_model(made.model), full_check=True)
    node = next(node for node in made.model.graph if node.name == name)
    assert node.outputs[0].dtype == ir.DataType.FLOAT
    # INT8 fuses only where the DequantizeLinear is next to the convolution
    assert all(value.producer().op_type == "DequantizeLinear" for value in node.inputs[:2])
    quality = sqnr_db(outputs(jetson_qdq, eval_batches), outputs(made.model, eval_batches))
    assert quality is not None and quality > 30


def test_a_scale_too_small_for_fp16_keeps_its_layer_in_fp32() -> None:
    codes = np.full((2, 3, 1, 1), 5, np.int8)
    assert half.to_half(one_convolution(np.array([0.01, 0.02], np.float32), codes), {}).kept == {}
    made = half.to_half(one_convolution(np.array([0.01, 1e-9], np.float32), codes), {})
    assert "too small" in made.kept["conv"]
    weight = next(node for node in made.model.graph if node.name == "conv/weight/DQ")
    np.testing.assert_array_equal(
        weight.inputs[1].const_value.numpy(), np.array([0.01, 1e-9], np.float32)
    )


def test_the_scale_of_a_channel_without_codes_is_never_zero() -> None:
    codes = np.full((2, 3, 1, 1), 5, np.int8)
    codes[1] = 0
    made = half.to_half(one_convolution(np.array([0.01, 1e-9], np.float32), codes), {})
    weight = next(node for node in made.model.graph if node.name == "conv/weight/DQ")
    assert made.kept == {} and (weight.inputs[1].const_value.numpy() > 0).all()


def test_an_opset_without_fp16_scales_is_refused() -> None:
    with pytest.raises(ValueError, match="from opset 19"):
        half.to_half(
            one_convolution(
                np.array([0.01, 0.02], np.float32), np.ones((2, 3, 1, 1), np.int8), opset=17
            ),
            {},
        )


def test_float_weights_before_q_compute_the_same(
    jetson_qdq: ir.Model, eval_batches: list[np.ndarray]
) -> None:
    made = forms.to_float_weights(jetson_qdq)
    np.testing.assert_array_equal(
        outputs(jetson_qdq, eval_batches[:4]), outputs(made, eval_batches[:4])
    )
    assert "weight-form" in {
        finding.rule for finding in lint.lint(jetson_qdq, "tensorrt", max_opset=17)
    }
    assert "weight-form" not in {
        finding.rule for finding in lint.lint(made, "tensorrt", max_opset=17)
    }


def test_int8_weights_are_a_quarter_of_the_float_file(
    built: Built, jetson_qdq: ir.Model, tmp_path: Path
) -> None:
    save(jetson_qdq, tmp_path / "q.onnx")
    weights = sum(
        v.const_value.nbytes
        for v in ir.load(built.folder / "model.onnx").graph.initializers.values()
    )
    codes = sum(v.const_value.nbytes for v in jetson_qdq.graph.initializers.values())
    assert codes < 0.3 * weights
