"""Compensated rounding: less error in the output than nearest, and codes that fit."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import helper, numpy_helper

from edge_scnet.graph.run import run_onnx
from edge_scnet.quantize import params, rounding, weights
from tests.helpers.drawn import QUICK


@pytest.mark.parametrize("case", ["plain", "strided", "dilated", "grouped", "linear"])
def test_patches_are_what_the_convolution_reads(case: str) -> None:
    rng = np.random.default_rng(0)
    window, shape = {
        "plain": (rounding.Window(kernel=(3, 3), pads=(1, 1, 1, 1)), (6, 4, 3, 3)),
        "strided": (
            rounding.Window(kernel=(3, 2), strides=(2, 1), pads=(0, 1, 2, 0)),
            (6, 4, 3, 2),
        ),
        "dilated": (
            rounding.Window(kernel=(3, 3), dilations=(2, 2), pads=(2, 2, 2, 2)),
            (6, 4, 3, 3),
        ),
        "grouped": (rounding.Window(kernel=(3, 3), groups=2, pads=(1, 1, 1, 1)), (6, 2, 3, 3)),
        "linear": (rounding.Window(), (6, 4, 1, 1)),
    }[case]
    image = rng.standard_normal((4, 9, 7) if case != "linear" else (4, 1, 1)).astype(np.float32)
    filters = rng.standard_normal(shape).astype(np.float32)
    name = {
        "kernel_shape": list(window.kernel),
        "strides": list(window.strides),
        "dilations": list(window.dilations),
    }
    made = helper.make_graph(
        [
            helper.make_node(
                "Conv", ["x", "w"], ["y"], pads=list(window.pads), group=window.groups, **name
            )
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, (1, *image.shape))],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(filters, "w")],
    )
    model = ir.serde.deserialize_model(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    expected = run_onnx(model, [image[None]])[0][0][0]
    found = rounding.patches(image, window, limit=10**6)
    rows = filters.reshape(window.groups, -1, found.shape[2])
    assert np.einsum("gpi,goi->gop", found, rows).reshape(expected.shape) == pytest.approx(
        expected, abs=1e-4
    )


def test_compensated_rounding_has_less_error_in_the_output_than_nearest() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((40, 40))
    inputs = rng.standard_normal((5000, 40)) @ mixing
    filters = rng.standard_normal((8, 40))
    scales = np.abs(filters).max(axis=1) / 7
    codes = rounding.round_weights(filters, scales, np.cov(inputs.T), largest=7)
    nearest = np.clip(np.rint(filters / scales[:, None]), -7, 7)

    def error(found: np.ndarray) -> float:
        return float(np.var(inputs @ (filters - found * scales[:, None]).T, axis=0).sum())

    assert np.abs(codes.astype(int)).max() <= 7
    assert error(codes) < 0.6 * error(nearest)


def test_compensated_rounding_of_inputs_that_never_fire_is_nearest() -> None:
    filters = np.random.default_rng(0).standard_normal((3, 5))
    codes = rounding.round_weights(filters, np.full(3, 0.05), np.zeros((5, 5)), largest=127)
    assert np.array_equal(codes, np.clip(np.rint(filters / 0.05), -127, 127))


@QUICK
@given(
    filters=arrays(
        np.float64, st.tuples(st.integers(1, 4), st.just(6)), elements=st.floats(-10, 10)
    ),
    inputs=arrays(np.float64, (30, 6), elements=st.floats(-5, 5)),
    bits=st.sampled_from([7, 8]),
)
def test_compensated_codes_fit_whatever_the_inputs(
    filters: np.ndarray, inputs: np.ndarray, bits: int
) -> None:
    largest = weights.LARGEST_CODE[bits]
    scales = np.maximum(np.abs(filters).max(axis=1) / largest, params.SMALLEST_SCALE)
    codes = rounding.round_weights(filters, scales, np.cov(inputs.T), largest=largest)
    assert codes.dtype == np.int8 and np.abs(codes.astype(int)).max() <= largest
