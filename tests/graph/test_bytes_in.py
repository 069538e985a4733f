"""The preprocessing as part of a graph, code by code."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from edge_scnet.core.spec import InputForm, ModelSpec, engine_spec
from edge_scnet.data.images import codes_of, normalise, preprocess
from edge_scnet.graph.bytes_in import with_bytes_in
from edge_scnet.graph.run import run_onnx

# 256 codes
HEIGHT, WIDTH = 8, 32

RULES = {
    "ImageNet's": Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD),
    "0 to 255, mean and std": Preprocessing(
        pixel_max=255.0, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
    ),
    "0 to 255 alone": Preprocessing(pixel_max=255.0, mean=(), std=()),
    "0 to 1 alone": Preprocessing(mean=(), std=()),
    "-1 to 1 by 127.5": Preprocessing(pixel_max=255.0, mean=(127.5,) * 3, std=(127.5,) * 3),
    "0 to 2": Preprocessing(pixel_max=2.0, mean=(1.0,) * 3, std=(0.3, 0.7, 1.1)),
    "BGR": Preprocessing(colour="BGR", mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1]),
    "grey": Preprocessing(colour="grey", mean=(0.2860,), std=(0.3530,)),
}


def spec_of(rule: Preprocessing) -> ModelSpec:
    channels = 1 if rule.colour == "grey" else 3
    return ModelSpec(
        name="net", arch="net", input_shape=(channels, HEIGHT, WIDTH), preprocessing=rule
    )


def plain(spec: ModelSpec, batch: int = 1) -> ir.Model:
    """A graph that gives its input."""
    sizes = (batch, *spec.input_shape)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"], name="same")],
        "g",
        [helper.make_tensor_value_info("input", 1, sizes)],
        [helper.make_tensor_value_info("output", 1, sizes)],
    )
    return ir.serde.deserialize_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )


def every_code(spec: ModelSpec) -> np.ndarray:
    """A picture with all codes in all channels, each channel in another order."""
    codes = np.arange(256, dtype=np.uint8)
    planes = [np.roll(codes, 85 * channel) for channel in range(spec.channels)]
    return np.stack(planes, axis=-1).reshape(HEIGHT, WIDTH, spec.channels)


@pytest.mark.parametrize("rule", RULES)
def test_every_code_becomes_the_number_that_preprocessing_makes_of_it(rule: str) -> None:
    spec = spec_of(RULES[rule])
    form = InputForm(dtype="uint8", layout="NHWC", colour=spec.preprocessing.colour)
    model = with_bytes_in(plain(spec), spec.preprocessing, form)
    picture = every_code(spec)
    taken = codes_of(picture, engine_spec(spec, form))
    assert taken.dtype == np.uint8 and taken.shape == picture.shape
    [[output]] = run_onnx(model, [taken[None]])
    assert np.array_equal(output[0], preprocess(picture, spec))
    assert np.array_equal(output[0], normalise(picture, spec))


@pytest.mark.parametrize("rule", ["ImageNet's", "BGR"])
def test_bytes_may_have_the_other_order_of_colours(rule: str) -> None:
    """A camera gives BGR where the network was trained on RGB, and the reverse."""
    spec = spec_of(RULES[rule])
    own = spec.preprocessing.colour
    form = InputForm(dtype="uint8", layout="NHWC", colour="RGB" if own == "BGR" else "BGR")
    model = with_bytes_in(plain(spec), spec.preprocessing, form)
    picture = every_code(spec)
    taken = codes_of(picture, engine_spec(spec, form))
    assert np.array_equal(taken, picture[..., ::-1] if form.colour == "BGR" else picture)
    [[output]] = run_onnx(model, [taken[None]])
    assert np.array_equal(output[0], preprocess(picture, spec))


def test_the_input_keeps_its_name_and_the_graph_it_is_made_of_its_own_form() -> None:
    spec = spec_of(RULES["ImageNet's"])
    float_model = plain(spec, batch=2)
    form = InputForm(dtype="uint8", layout="NHWC", colour="RGB")
    model = with_bytes_in(float_model, spec.preprocessing, form)
    (pixels,) = model.graph.inputs
    assert (pixels.name, pixels.dtype) == ("input", ir.DataType.UINT8)
    assert pixels.shape == (2, HEIGHT, WIDTH, 3)
    (floats,) = float_model.graph.inputs
    assert (floats.dtype, floats.shape) == (ir.DataType.FLOAT, (2, 3, HEIGHT, WIDTH))
    names = [value.name for node in model.graph for value in node.outputs]
    assert len(names) == len(set(names)) and "input" not in names


def test_a_padded_picture_has_its_pad_in_the_order_of_the_bytes() -> None:
    rule = Preprocessing(
        resize="letterbox", pad_value=(10, 20, 30), mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    spec = spec_of(rule)
    picture = np.full((HEIGHT, HEIGHT, 3), 200, np.uint8)
    for colour, pad in (("RGB", (10, 20, 30)), ("BGR", (30, 20, 10))):
        form = InputForm(dtype="uint8", layout="NHWC", colour=colour)
        taken = codes_of(picture, engine_spec(spec, form))
        assert tuple(taken[0, 0]) == pad
        model = with_bytes_in(plain(spec), rule, form)
        assert np.array_equal(run_onnx(model, [taken[None]])[0][0][0], preprocess(picture, spec))
