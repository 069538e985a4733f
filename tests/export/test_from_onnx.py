"""Users' ONNX files made static, folded and converted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ParityError
from edge_scnet.export.file_parity import check_onnx_parity
from edge_scnet.export.from_onnx import check_weights, import_onnx, probe_onnx
from edge_scnet.graph.model import save
from edge_scnet.graph.run import run_onnx
from edge_scnet.models import zoo
from edge_scnet.quantizer import equalize
from tests.helpers.float_graphs import conv, graph_of, ir_graph, named_node
from tests.helpers.networks import damaged, ops, random_images
from tests.helpers.onnx_files import refused, user_model, written
from tests.helpers.onnx_nodes import File

SIDE = (
    conv("input", "w1", "a"),
    helper.make_node("Relu", ["a"], ["r"]),
    conv("r", "w2", "b"),
)


def probed(path: Path, **options: Any) -> ModelSpec:
    given = ModelOptions(**options)
    return probe_onnx(zoo.resolve(str(path), given), given).spec


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    "options", [{}, {"weights_as_inputs": True}, {"batch": 1, "flatten_to": [1, -1]}]
)
def test_a_users_file_is_made_static_folded_and_converted(
    tmp_path: Path, batch: int, options: dict[str, Any]
):
    path = written(tmp_path, user_model(**options))
    imported = import_onnx(path, ModelOptions(), batch=batch, opset=18)
    model = imported.model
    assert ops(model) == ["Conv", "Relu", "GlobalAveragePool", "Reshape", "Gemm"]
    assert model.graph.opset_imports[""] == 18
    assert [(value.name, list(value.shape or ())) for value in model.graph.inputs] == [
        ("image", [batch, 3, 8, 8])
    ]
    assert [value.name for value in model.graph.outputs] == ["probabilities"]
    # a node called as the input or the output (legal) must not take their tensors' names
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
    parity = check_onnx_parity(path, imported, random_images((1, 3, 8, 8)))
    assert parity.batches == (batch,) and parity.worst < 1e-5


def test_a_dynamic_size_is_made_static(tmp_path: Path):
    path = written(tmp_path, user_model(height="H", width="W"))
    hint = "pass --input-size PIXELS, or --input-shape 3xHEIGHTxWIDTH"
    assert refused(probed, path).hint == hint
    spec = probed(path, input_size=12)
    assert (spec.input_shape, spec.num_classes) == ((3, 12, 12), 4)
    assert probed(path, input_shape=(3, 8, 12)).input_shape == (3, 8, 12)
    model = import_onnx(path, ModelOptions(input_size=12), batch=2, opset=18).model
    assert list(model.graph.inputs[0].shape or ()) == [2, 3, 12, 12]
    assert run_onnx(model, [random_images((1, 3, 12, 12), 2)])[0][0].shape == (2, 4)


def test_external_data_in_the_models_own_folder(tmp_path: Path):
    path = written(tmp_path, user_model(folder=tmp_path, location="weights.bin"))
    imported = import_onnx(path, ModelOptions(), batch=1, opset=18)
    assert check_onnx_parity(path, imported, random_images((1, 3, 8, 8))).worst < 1e-5
    (tmp_path / "copy").mkdir()
    save(imported.model, tmp_path / "copy" / "model.onnx")
    assert len(list((tmp_path / "copy").iterdir())) == 1  # in one file


def test_shapes_that_the_file_states_are_known_for_another_batch_too(tmp_path: Path):
    """Equalisation ties channels by the shapes of tensors inside."""
    proto = graph_of([*SIDE], {"w1": (4, 4, 3, 3), "w2": (4, 4, 3, 3)})
    # torch states the shapes of weights too
    proto.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (4, 4, 3, 3))
        for name in ("w1", "w2")
    )
    model = import_onnx(written(tmp_path, proto), ModelOptions(), batch=2, opset=20).model
    outputs = [node.outputs[0] for node in model.graph]
    assert [list(value.shape or ()) for value in outputs] == [[2, 4, 8, 8]] * 3
    peaks = {str(value.name): np.arange(1, 5, dtype=np.float32) for value in outputs}
    assert len(equalize.factors(model, peaks, strength=0.75)) == 2


def test_a_graph_changed_by_folding_fails_parity(tmp_path: Path):
    path = written(tmp_path, user_model())
    imported = import_onnx(path, ModelOptions(), batch=1, opset=18)
    wrong = replace(imported, model=damaged(imported.model, "fc.bias", lambda bias: bias + 1))
    with pytest.raises(
        ParityError,
        match=r"folding changed net.onnx: output 'probabilities' differs by .* of the output range",
    ):
        check_onnx_parity(path, wrong, random_images((1, 3, 8, 8)))


def test_nan_weights_of_a_users_file(tmp_path: Path):
    proto = user_model()
    bias = next(t for t in proto.graph.initializer if t.name == "fc.bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([0, np.nan, 1, np.inf], np.float32), "fc.bias"))
    model = import_onnx(written(tmp_path, proto), ModelOptions(), batch=1, opset=18).model
    error = refused(check_weights, model, "net.onnx")
    assert error.message == "net.onnx: 'fc.bias' holds 2 NaN or infinite values of 4"
    assert "use an earlier one" in str(error.hint)
    whole = import_onnx(written(tmp_path, user_model()), ModelOptions(), batch=1, opset=18)
    check_weights(whole.model, "net.onnx")


def test_infinities_that_mask_are_no_damaged_weights():
    def model(kind: str, *values: float) -> ir.Model:
        stored = {"mask": np.array([values] * 2, np.float32)}
        return ir_graph([named_node(kind, ["input", "mask"], "y")], stored)

    check_weights(model("Add", 0, -np.inf), "net.onnx")
    check_weights(model("Max", np.inf, -np.inf), "net.onnx")
    for kind, values in (("MatMul", (1, -np.inf)), ("Add", (0, np.nan))):
        error = refused(check_weights, model(kind, *values), "net.onnx")
        assert error.message == "net.onnx: 'mask' holds 2 NaN or infinite values of 4"


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            {},
            {"input_size": 16},
            "image is ? x 3 x 8 x 8 in the file, --input-size or --channels says ? x 16 x 16",
        ),
        (
            {},
            {"input_shape": (3, 8)},
            "image is ? x 3 x 8 x 8, --input-shape has 2 sizes",
        ),
        (
            {},
            {"channels": 1, "mean": (0.5,), "std": (0.5,)},
            "image is ? x 3 x 8 x 8 in the file, --input-size or --channels says 1 x ? x ?",
        ),
        ({}, {"num_classes": 10}, "the model has 4 classes, --num-classes says 10"),
        ({}, {"class_names": ("a", "b")}, "the model has 4 classes, --class-names says 2"),
        ({}, {"mean": (0.5,)}, "the input has 3 channels, and --mean has 1 values"),
        ({}, {"resize": 4}, "--resize 4 is smaller than the crop, 3x8x8"),
    ],
)
def test_options_that_contradict_the_file(
    tmp_path: Path, model: dict[str, Any], options: dict[str, Any], message: str
):
    assert message in refused(probed, written(tmp_path, user_model(**model)), **options).message


def test_the_file_says_channels_and_size_before_the_options_are_judged(tmp_path: Path):
    proto = user_model(width="W")
    proto.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.ones((4, 1, 3, 3), np.float32), "conv.weight")
    )
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    path = written(tmp_path, proto)
    options = {"input_size": 8, "resize": 10, "class_names": tuple("abcd")}
    spec = probed(path, mean=(0.5,), std=(0.5,), **options)
    assert (
        spec.channels,
        spec.preprocessing.mean,
        spec.height,
        spec.preprocessing.short_side,
        spec.num_classes,
    ) == (
        1,
        (0.5,),
        8,
        10,
        4,
    )
    assert spec == replace(spec, name="net", arch="onnx", classes=("a", "b", "c", "d"))
    assert (
        "the input has 1 channel, and --mean has no default for such images"
        in refused(probed, path, input_size=8).message
    )


def test_what_cannot_be_made_static_or_converted(tmp_path: Path):
    path = written(tmp_path, user_model(batch=1, flatten_to=[1, 4]))
    assert (
        "net.onnx has opset 13, the target wants 99; 7 to "
        in refused(import_onnx, path, ModelOptions(), batch=1, opset=99).message
    )


def test_what_a_newer_operator_is_made_of_is_folded(tmp_path: Path):
    file = File(opset=23, shape=(1, 2, 6, 8))
    attended = file.op("Attention", "x", "x", "x")
    path = written(tmp_path, file.model(attended, kind=1, shape=[1, 2, 6, 8]))
    imported = import_onnx(path, ModelOptions(), batch=1, opset=20)
    assert ops(imported.model).count("MatMul") == 2
    assert check_onnx_parity(path, imported, random_images((1, 2, 6, 8))).worst < 1e-5
