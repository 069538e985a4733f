"""Which input of a user's file samples are for, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.core.spec import TensorSpec
from edge_scnet.export.file_parity import check_onnx_parity
from edge_scnet.export.from_onnx import import_onnx, probe_onnx
from edge_scnet.export.inputs import InputPlan, plan_inputs
from edge_scnet.graph.run import run_onnx
from edge_scnet.models import zoo
from tests.helpers.onnx_files import refused, written

Size = int | str
FLOAT = TensorProto.FLOAT
PATH = Path("net.onnx")
RNG = np.random.default_rng(0)


def file(
    *inputs: tuple[str, Sequence[Size], int], nodes: Sequence[onnx.NodeProto] = ()
) -> onnx.ModelProto:
    given = nodes or [helper.make_node("Identity", [inputs[0][0]], ["y"])]
    graph = helper.make_graph(
        given,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape, kind in inputs],
        [helper.make_tensor_value_info("y", FLOAT, [None])],
        [
            numpy_helper.from_array(np.ones((2, 3, 3, 3), np.float32), "w"),
            numpy_helper.from_array(np.array([1]), "one"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def planned(proto: onnx.ModelProto, **options: object) -> InputPlan:
    return plan_inputs(proto, PATH, ModelOptions(**options))


@pytest.mark.parametrize(
    ("shape", "options", "sample", "channels_last"),
    [
        ([1, 3, 8, 8], {}, (3, 8, 8), False),
        (["N", 3, 240, 320], {}, (3, 240, 320), False),
        ([1, 240, 320, 3], {}, (3, 240, 320), True),
        ([1, 28, 28, 1], {}, (1, 28, 28), True),
        (["N", "H", "W", 3], {"input_size": 16}, (3, 16, 16), True),
        (["N", "H", "W", 3], {"input_shape": (3, 12, 16)}, (3, 12, 16), True),
        (["N", "H", "W", 3], {"input_shape": (12, 16, 3)}, (3, 12, 16), True),
        (["N", 3, "H", "W"], {"input_shape": (3, 12, 16)}, (3, 12, 16), False),
        (["N", "C", "H", "W"], {"input_shape": (4, 12, 16)}, (4, 12, 16), False),
        ([-1, 3, -1, -1], {"input_size": 8}, (3, 8, 8), False),
        # no pictures: channels of a multispectral camera, a table, a sound, a series, a video
        ([1, 13, 8, 8], {}, (13, 8, 8), False),
        ([1, 40], {}, (40,), False),
        ([1, "T"], {"input_shape": (16000,)}, (16000,), False),
        ([1, 6, 128], {}, (6, 128), False),
        ([1, 3, 8, 16, 16], {}, (3, 8, 16, 16), False),
    ],
)
def test_the_shape_of_a_sample(
    shape: list[Size], options: dict[str, object], sample: tuple[int, ...], channels_last: bool
):
    plan = planned(file(("x", shape, FLOAT)), **options)
    assert (plan.input_shape, plan.channels_last) == (sample, channels_last)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ([1, 3, 0, 8], {}, "input 'x' has a size of 0: 1 x 3 x 0 x 8; sizes are 1 and more"),
        ([1, 3, -7, 8], {}, "input 'x' has a size of -7"),
        ([1, 1, 100_000, 100_000], {}, "a sample of x is 1 x 100000 x 100000, 40 GB; up to 1 GB"),
        (
            ["N", 1, "H", "W"],
            {"input_shape": (1, 100_000, 100_000)},
            "a sample of x is 1 x 100000 x 100000, 40 GB",
        ),
        ([2_000_000_000, 1, 8, 8], {}, "x has a batch of 2000000000; up to 1024 is supported"),
        ([1, 3, 8, 8], {"input_shape": (3, 9, 8)}, "x is 1 x 3 x 8 x 8 in the file, --input-sha"),
        ([1, 3, 8, 8], {"input_shape": (3, 8)}, "x is 1 x 3 x 8 x 8, --input-shape has 2 sizes"),
        ([1, "T"], {}, "the sizes of x are open: 1 x ?"),
        ([1, "T"], {"input_size": 40}, "x is 1 x ?, and --input-size is for pictures"),
        ([1, 40], {"channels": 3}, "x is 1 x 40, and --channels is for pictures"),
        ([8], {}, "input 'x' is float32 with 1 axes; samples are fed as float32"),
        ([1, 2, 3, 4, 5, 6], {}, "input 'x' is float32 with 6 axes"),
    ],
)
def test_shapes_that_no_sample_has(shape: list[Size], options: dict[str, object], message: str):
    assert message in refused(planned, file(("x", shape, FLOAT)), **options).message


def test_an_input_that_is_no_tensor():
    proto = file(("x", [1, 3, 8, 8], FLOAT))
    proto.graph.input.append(helper.make_tensor_sequence_value_info("list", FLOAT, None))
    error = refused(planned, proto)
    assert "input 'list' is no tensor: sequences, maps and optional inputs" in error.message


CONV = helper.make_node("Conv", ["c", "w"], ["y"], pads=[1] * 4)
TURN = helper.make_node("Transpose", ["x"], ["c"], perm=[0, 3, 1, 2])


def test_an_input_of_height_width_channels_is_taken_as_pictures_are(tmp_path: Path):
    path = written(tmp_path, file(("x", ["N", 6, 8, 3], FLOAT), nodes=[TURN, CONV]))
    imported = import_onnx(path, ModelOptions(), batch=2, opset=17)
    assert list(imported.model.graph.inputs[0].shape or ()) == [2, 3, 6, 8]
    # the turn of the file and the one that is put in front of it cancel
    assert [node.op_type for node in imported.model.graph] == ["Conv"]
    images = RNG.random((8, 3, 6, 8)).astype(np.float32)
    assert check_onnx_parity(path, imported, images).worst < 1e-6
    assert imported.plan.notes == ("x is N x H x W x C in the file, here N x C x H x W",)


def test_bytes_are_fed_as_whole_numbers(tmp_path: Path):
    nodes = [helper.make_node("Cast", ["x"], ["c"], to=FLOAT), CONV]
    path = written(tmp_path, file(("x", [1, 3, 6, 8], TensorProto.UINT8), nodes=nodes))
    imported = import_onnx(path, ModelOptions(), batch=1, opset=17)
    images = RNG.integers(0, 256, (8, 3, 6, 8)).astype(np.float32)
    assert check_onnx_parity(path, imported, images).worst < 1e-6
    # values between bytes are rounded for both
    noise = RNG.standard_normal((8, 3, 6, 8)).astype(np.float32) * 100
    assert check_onnx_parity(path, imported, noise).worst < 1e-6
    spec = probe_onnx(zoo.resolve(str(path), ModelOptions()), ModelOptions()).spec
    assert (spec.preprocessing.mean, spec.preprocessing.std) == ((0.0,) * 3, (1 / 255,) * 3)


# Several inputs

SCALED = [
    helper.make_node("Cast", ["mask"], ["m"], to=FLOAT),
    helper.make_node("Mul", ["x", "m"], ["a"]),
    helper.make_node("Add", ["a", "shift"], ["y"]),
]
SEVERAL = file(
    ("shift", ["N", 3, 1, 1], FLOAT),
    ("x", ["N", 3, 4, 6], FLOAT),
    ("mask", ["N", 1, 4, 6], TensorProto.INT64),
    nodes=SCALED,
)


def test_the_first_that_can_be_a_picture_is_fed_and_the_others_are_fixed(tmp_path: Path):
    shift = tmp_path / "a=b.npy"
    np.save(shift, np.arange(3).reshape(1, 3, 1, 1).astype(np.float32))
    fix = ("mask=2", f"shift={shift}")
    path = written(tmp_path, SEVERAL)
    imported = import_onnx(path, ModelOptions(fix=fix), batch=2, opset=17)
    assert [value.name for value in imported.model.graph.inputs] == ["x"]
    images = RNG.random((4, 3, 4, 6)).astype(np.float32)
    outputs = run_onnx(imported.model, [images[:2]])[0][0]
    assert np.allclose(outputs, images[:2] * 2 + np.arange(3).reshape(1, 3, 1, 1))
    check_onnx_parity(path, imported, images)
    assert imported.plan.notes == ("mask is fixed", "shift is fixed")


def test_several_inputs_are_fed_by_name(tmp_path: Path):
    path = written(tmp_path, SEVERAL)
    options = ModelOptions(fix=("shift=0.5",))
    spec = probe_onnx(zoo.resolve(str(path), options), options).spec
    assert (spec.input_name, spec.input_shape) == ("x", (3, 4, 6))
    assert spec.more_inputs == (TensorSpec(name="mask", shape=(1, 4, 6), dtype="int64"),)
    imported = import_onnx(path, options, batch=2, opset=17)
    arrays = {
        "x": RNG.random((4, 3, 4, 6)).astype(np.float32),
        "mask": RNG.integers(0, 9, (4, 1, 4, 6)),
    }
    samples = batch_of_arrays(arrays)
    check_onnx_parity(path, imported, samples)
    outputs = run_onnx(imported.model, [samples[:2]])[0][0]
    assert np.allclose(outputs, (arrays["x"] * arrays["mask"] + 0.5)[:2])


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        ("depth=1", "--fix depth=1: net.onnx has no input of that name; it has 'shift' (float32"),
        ("mask=high", "--fix mask: 'high' is not a number, or an .npy file"),
        ("mask=0.5", "--fix mask: 0.5 has values that int64 cannot hold"),
        ("mask=none.npy", "--fix mask: none.npy cannot be read"),
    ],
)
def test_fixes_that_do_not_fit(fix: str, message: str):
    error = refused(planned, SEVERAL, fix=(fix,))
    assert message in error.message
    assert error.hint != error.default_hint


def test_an_array_of_another_shape_is_no_value_of_an_input(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((1, 2, 4, 6)))
    error = refused(planned, SEVERAL, fix=(f"mask={tmp_path / 'a.npy'}",))
    assert "a.npy is 1 x 2 x 4 x 6, the input ? x 1 x 4 x 6" in error.message


def test_every_input_fixed_leaves_none_to_feed():
    error = refused(planned, SEVERAL, fix=("mask=1", "x=1", "shift=1"))
    assert "net.onnx has no input left to feed" in error.message
