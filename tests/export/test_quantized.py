"""Quantized files made to fit their float graph: sizes, layout and opset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError
from edge_scnet.export.quantized import in_opset, with_fixed_inputs
from edge_scnet.graph.run import run_onnx
from tests.graph.test_quantized_file import conv_model, expected

IMAGE = np.random.default_rng(3).standard_normal((1, 4, 2, 2)).astype(np.float32)


@pytest.mark.parametrize("opset", [13, 17, 19, 21])
def test_a_graph_in_another_opset_computes_the_same(opset: int) -> None:
    model = in_opset(ir.from_proto(conv_model(opset=13)), Path("q.onnx"), opset)
    assert model.graph.opset_imports[""] == opset
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert [node.name for node in model.graph if node.op_type == "Conv"] == ["conv"]
    ((output,),) = run_onnx(model, [IMAGE])
    np.testing.assert_allclose(output, expected(IMAGE), rtol=1e-5)


def test_open_sizes_are_those_of_the_float_graph() -> None:
    proto = conv_model()
    for size, name in zip(proto.graph.input[0].type.tensor_type.shape.dim, "nchw", strict=True):
        if name != "c":
            size.dim_param = name
    options = ModelOptions(input_shape=(4, 2, 2), fix=("gone=1",))
    model = with_fixed_inputs(ir.from_proto(proto), Path("q.onnx"), options, batch=1)
    ends = [list(value.shape) for value in (*model.graph.inputs, *model.graph.outputs)]
    assert ends == [[1, 4, 2, 2], [1, 3, 2, 2]]
    ((output,),) = run_onnx(model, [IMAGE])
    np.testing.assert_allclose(output, expected(IMAGE), rtol=1e-5)


def test_a_graph_that_fits_is_left_as_it_is() -> None:
    model = ir.from_proto(conv_model())
    options = ModelOptions(input_shape=(4, 2, 2))
    assert with_fixed_inputs(model, Path("q.onnx"), options, batch=1) is model
    assert in_opset(model, Path("q.onnx"), 13) is model
    with pytest.raises(ArtifactError, match="--input-shape"):
        with_fixed_inputs(model, Path("q.onnx"), ModelOptions(input_shape=(3, 2, 2)), batch=1)
