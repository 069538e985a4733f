"""Upsample and old Resize: what ONNX Runtime gives for the old file is right."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.onnx_nodes import assert_same, converted, floats, ints, one_node, run_proto

_LARGER = [(2.0, 2.0), (1.5, 1.5), (1.0, 3.0), (2.3, 1.7)]
_SMALLER = [(0.5, 0.5), (0.7, 1.0), (2.0, 0.5), (0.6, 1.3)]


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [*_LARGER, *_SMALLER])
def test_resize_of_opset_10(mode: str, scales: tuple[float, float]):
    model = one_node(10, "Resize", floats(1, 1, *scales), mode=mode)
    for opset in (17, 20):
        operators = assert_same(model, opset)
        both = mode == "nearest" and max(scales) > 1 > min(scales)
        assert operators == ["Resize"] * (2 if both else 1)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", _LARGER)
def test_upsample(mode: str, scales: tuple[float, float]):
    for model in (
        one_node(9, "Upsample", floats(1, 1, *scales), mode=mode),
        one_node(8, "Upsample", scales=[1.0, 1.0, *scales], mode=mode),
        one_node(7, "Upsample", scales=[1.0, 1.0, *scales], mode=mode),
    ):
        assert assert_same(model, 19) == ["Resize"]


def test_upsample_of_other_ranks():
    assert_same(one_node(9, "Upsample", floats(1, 1, 2), mode="nearest", shape=(1, 2, 5)), 19)
    assert_same(one_node(9, "Upsample", floats(2, 3), mode="linear", shape=(4, 5)), 19)
    volume = one_node(9, "Upsample", floats(1, 1, 2, 2, 2), mode="linear", shape=(1, 2, 3, 4, 5))
    assert_same(volume, 19)


def test_the_values_of_a_bilinear_upsample_by_hand():
    # pixels at position / 2: halfway between neighbours, the last one repeated
    model = one_node(9, "Upsample", floats(1, 1, 1, 2), mode="linear", shape=(1, 1, 1, 3))
    result = run_proto(converted(model, 20), np.array([[[[0, 4, 10]]]], np.float32))
    np.testing.assert_array_equal(result[0].ravel(), [0, 2, 4, 7, 10, 10])


@pytest.mark.parametrize("opset", [11, 13, 18, 19, 22])
@pytest.mark.parametrize("target", [17, 19, 20])
def test_sizes_beside_empty_scales(opset: int, target: int):
    model = one_node(opset, "Resize", floats(), floats(), ints(1, 4, 11, 9), mode="linear")
    node = converted(model, target).graph.node[0]
    assert list(node.input)[1:3] == ["", ""]
    assert_same(model, target)


@pytest.mark.parametrize("mode", ["align_corners", "pytorch_half_pixel", "half_pixel"])
@pytest.mark.parametrize("opset", [11, 13, 18, 22])
def test_other_coordinates_are_kept(mode: str, opset: int):
    model = one_node(
        opset,
        "Resize",
        floats(),
        floats(1, 1, 1.5, 2.3),
        mode="cubic",
        coordinate_transformation_mode=mode,
    )
    assert_same(model, 17)
    assert_same(model, 20)


@pytest.mark.parametrize("scales", [*_LARGER, *_SMALLER, (3.0, 3.0)])
def test_tensorflows_nearest_pixel(scales: tuple[float, float]):
    model = one_node(
        11,
        "Resize",
        floats(),
        floats(1, 1, *scales),
        mode="nearest",
        coordinate_transformation_mode="tf_half_pixel_for_nn",
        nearest_mode="floor",
    )
    assert_same(model, 17)
