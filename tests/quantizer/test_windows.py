"""What layers read: the rows that multiply their weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.graph.run import run_onnx
from edge_scnet.quantizer.windows import rows_read, window_of

CONV, UP = "Conv", "ConvTranspose"
# operator, the image's shape, the weights', the node's attributes
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": (CONV, (4, 9, 7), (6, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
    "strided": (CONV, (4, 9, 7), (6, 4, 3, 2), {"strides": [2, 1], "pads": [0, 1, 2, 0]}),
    "dilated": (CONV, (4, 9, 7), (6, 4, 3, 3), {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    "grouped": (CONV, (4, 9, 7), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "1-d": (CONV, (4, 9), (6, 4, 3), {"strides": [2], "pads": [1, 0]}),
    "1-d depthwise": (CONV, (4, 9), (4, 1, 5), {"group": 4, "pads": [2, 2]}),
    "3-d": (
        CONV,
        (2, 5, 6, 4),
        (3, 2, 3, 2, 1),
        {"strides": [2, 1, 1], "pads": [1, 0, 0, 1, 1, 0]},
    ),
    "same, upper": (CONV, (4, 9, 6), (6, 4, 3, 4), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same, lower": (CONV, (4, 9, 6), (6, 4, 3, 4), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "valid": (CONV, (4, 9, 6), (6, 4, 3, 3), {"auto_pad": "VALID"}),
    "transposed": (UP, (4, 5, 6), (4, 6, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "transposed, tiles": (UP, (4, 5, 6), (4, 6, 2, 2), {"strides": [2, 2]}),
    "transposed, output padding": (
        UP,
        (4, 5, 6),
        (4, 6, 3, 3),
        {"strides": [3, 2], "pads": [1, 0, 2, 1], "output_padding": [1, 1]},
    ),
    "transposed, dilated": (UP, (4, 5, 6), (4, 6, 3, 2), {"dilations": [2, 3], "strides": [2, 1]}),
    "transposed, cut": (UP, (4, 5, 6), (4, 6, 2, 2), {"strides": [2, 2], "pads": [2, 0, 2, 3]}),
    "transposed, same": (
        UP,
        (4, 5, 6),
        (4, 6, 3, 3),
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "transposed, sizes": (
        UP,
        (4, 5, 6),
        (4, 6, 3, 3),
        {"strides": [2, 2], "output_shape": [10, 13]},
    ),
    "transposed 1-d": (UP, (4, 9), (4, 6, 4), {"strides": [2], "pads": [1, 1]}),
    "transposed 3-d": (UP, (2, 3, 4, 3), (2, 3, 2, 2, 2), {"strides": [2, 2, 2]}),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_are_what_the_layer_reads(case: str) -> None:
    operator, image_shape, shape, attributes = CASES[case]
    rng = np.random.default_rng(0)
    image = rng.standard_normal(image_shape).astype(np.float32)
    weights = rng.standard_normal(shape).astype(np.float32)
    made = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", 1, (1, *image_shape))],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = ir.serde.deserialize_model(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    expected = run_onnx(model, [image[None]])[0][0][0]
    window = window_of(model.graph[0], weights)
    found = rows_read(image, window, inputs=0, limit=10**6)
    rows = np.moveaxis(weights, 1, 0) if operator == UP else weights
    rows = rows.reshape(window.groups, -1, found.shape[2])
    assert np.einsum("gpi,goi->gop", found, rows).reshape(expected.shape) == pytest.approx(
        expected, abs=1e-4
    )
    some = rows_read(image, window, inputs=0, limit=7)
    assert 1 <= some.shape[1] <= 7
    assert all((found[0] == row).all(axis=1).any() for row in some[0])


def test_a_step_through_a_transposed_convolution_meets_every_phase() -> None:
    weights = np.ones((1, 1, 2, 2), np.float32)
    node = ir.node("ConvTranspose", [], attributes={"strides": [2, 2]})
    image = np.ones((1, 16, 16), np.float32)
    read = rows_read(image, window_of(node, weights), inputs=0, limit=100)[0]
    # every position reads the one tap of its phase
    assert read.sum(axis=1) == pytest.approx(1.0)
    assert read.mean(axis=0) == pytest.approx([0.25] * 4, abs=0.03)


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 7, 5)])
def test_a_linear_layer_reads_every_row_of_its_last_axis(shape: tuple[int, ...]) -> None:
    value = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    window = window_of(ir.node("MatMul", []), np.zeros((5, 3), np.float32))
    assert np.array_equal(rows_read(value, window, inputs=5, limit=100)[0], value.reshape(-1, 5))
    assert rows_read(value, window, inputs=5, limit=3).shape[1] == min(3, value.size // 5)


def test_images_that_a_graph_cut_into_several_are_all_read() -> None:
    rng = np.random.default_rng(0)
    tiles = rng.standard_normal((3, 2, 5, 5)).astype(np.float32)
    window = window_of(ir.node("Conv", []), np.zeros((4, 2, 3, 3), np.float32))
    read = rows_read(tiles, window, inputs=0, limit=1000)
    alone = [rows_read(tile, window, inputs=0, limit=1000) for tile in tiles]
    assert np.array_equal(read, np.concatenate(alone, axis=1))
