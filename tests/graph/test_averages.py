"""Averages of codes, rounded to codes once more."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edge_scnet.graph.averages import with_rounded_averages
from edge_scnet.graph.run import run_onnx

SCALE = 0.25
_PAIR = """
    q = QuantizeLinear(x, scale, zero)
    dq = DequantizeLinear(q, scale, zero)
"""


def graph_of(body: str) -> ir.Model:
    return ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: ["": 20]>
        g (float[1, 1, 1, 3] x) => (float[1, 1, 1, n] y)
        <float scale = {{{SCALE}}}, uint8 zero = {{0}}>
        {{{body}}}
        """
    )


def values_of(model: ir.Model) -> list[float]:
    image = np.array([0.25, 0.5, 0.5], np.float32).reshape(1, 1, 1, 3)
    return run_onnx(model, [image])[0][0].ravel().tolist()


def test_an_average_of_codes_becomes_a_code() -> None:
    model = graph_of(f"{_PAIR} y = AveragePool <kernel_shape = [1, 3]> (dq)")
    rounded = with_rounded_averages(model)
    assert rounded is not None
    assert values_of(rounded) == [0.5]  # 5 / 3 codes are 2
    assert values_of(model)[0] != 0.5 and rounded.graph.outputs[0].name == "y"


def test_codes_are_followed_past_what_moves_values() -> None:
    rounded = with_rounded_averages(
        graph_of(f"{_PAIR} m = MaxPool <kernel_shape = [1, 1]> (dq) y = GlobalAveragePool(m)")
    )
    assert rounded is not None and values_of(rounded) == [0.5]


def test_averages_that_are_quantized_or_are_of_floats_stay() -> None:
    quantized = f"""{_PAIR} a = GlobalAveragePool(dq)
        b = QuantizeLinear(a, scale, zero)
        y = DequantizeLinear(b, scale, zero)"""
    assert with_rounded_averages(graph_of(quantized)) is None
    assert with_rounded_averages(graph_of("y = GlobalAveragePool(x)")) is None
    assert (
        with_rounded_averages(graph_of(f"{_PAIR} s = Sigmoid(dq) y = GlobalAveragePool(s)")) is None
    )
