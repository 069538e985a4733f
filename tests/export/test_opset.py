"""Graphs in the older opset that a board reads."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.errors import ArtifactError
from edge_scnet.export.opset import lower
from edge_scnet.graph.run import run_onnx
from tests.helpers.tensorrt import outputs
from tests.helpers.tool import Built


def test_a_mean_becomes_a_pool_in_opset_17(built: Built, eval_batches: list[np.ndarray]) -> None:
    model = ir.load(built.folder / "model.onnx")
    before = outputs(model, eval_batches[:4])
    lowered = lower(model, 17)
    assert lowered.opset_imports[""] == 17
    np.testing.assert_allclose(outputs(lowered, eval_batches[:4]), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("operators", "shape", "text"),
    [
        (["ReduceMax"], "2, 4", "y = ReduceMax <keepdims = 0> (x, axes)"),
        (["ReduceL2"], "2, 4, 1, 1", "y = ReduceL2 <keepdims = 1> (x, axes)"),
        (
            ["Split", "Concat"],
            "2, 4, 3, 3",
            "a, b = Split <axis = 1, num_outputs = 2> (x)\ny = Concat <axis = 1> (b, a)",
        ),
        (["Softplus", "Tanh", "Mul"], "2, 4, 3, 3", "y = Mish (x)"),
    ],
)
def test_what_changed_in_opset_18_is_written_in_opset_17(
    operators: list[str], shape: str, text: str
) -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 18]> g (float[2, 4, 3, 3] x) =>'
        f" (float[{shape}] y)\n"
        "<int64[2] axes = {2, 3}> {\n" + text + "\n}"
    )
    if "axes" not in text:
        del proto.graph.initializer[:]
    model = ir.serde.deserialize_model(proto)
    image = np.random.default_rng(0).standard_normal((2, 4, 3, 3)).astype(np.float32)
    wanted = run_onnx(model, [image])[0][0]
    lowered = lower(model, 17)
    assert lowered.opset_imports[""] == 17
    assert [node.op_type for node in lowered.graph] == operators
    names = [str(node.name) for node in lowered.graph]
    assert all(names) and len(set(names)) == len(names)
    np.testing.assert_allclose(run_onnx(lowered, [image])[0][0], wanted, rtol=1e-6, atol=1e-6)


def test_an_operator_without_an_older_form_is_named() -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 18]> g (uint8[2, 4] x) => (uint8[2, 4] y)'
        " { y = BitwiseNot (x) }"
    )
    with pytest.raises(ArtifactError, match="BitwiseNot"):
        lower(ir.serde.deserialize_model(proto), 17)
