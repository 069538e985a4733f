"""The one form of nodes that can be written in several."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge_scnet.export.rewriting import attributes
from tests.helpers.onnx_nodes import assert_same, converted, one_node

_WEIGHTS = {
    size: np.random.default_rng(1).standard_normal((3, 4, size, size)).astype(np.float32)
    for size in (2, 3)
}


@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_in_numbers(op: str, mode: str):
    for kernel, stride, size in itertools.product((2, 3), (1, 2, 3), (7, 8)):
        values = {"kernel_shape": [kernel, kernel], "strides": [stride, stride], "auto_pad": mode}
        inputs = (_WEIGHTS[kernel],) if op == "Conv" else ()
        if op == "Conv":
            del values["kernel_shape"]
        model = one_node(11, op, *inputs, shape=(1, 4, size, size), **values)
        node = converted(model, 20).graph.node[0]
        assert "auto_pad" not in attributes(node) and len(attributes(node)["pads"]) == 4
        assert_same(model, 20)


def test_padding_that_is_not_known_stays():
    model = one_node(
        11, "MaxPool", shape=(1, 4, "H", "W"), kernel_shape=[3, 3], auto_pad="SAME_UPPER"
    )
    assert attributes(converted(model, 20).graph.node[0])["auto_pad"] == "SAME_UPPER"
    dilated = one_node(11, "MaxPool", kernel_shape=[2, 2], dilations=[2, 2], auto_pad="SAME_UPPER")
    assert attributes(converted(dilated, 20).graph.node[0])["auto_pad"] == "SAME_UPPER"
    assert_same(dilated, 20)


def test_axes_that_are_left_out_are_written():
    model = one_node(9, "MeanVarianceNormalization")
    assert_same(model, 20)
    assert attributes(converted(model, 20).graph.node[0])["axes"] == [0, 2, 3]
