"""Users' ONNX files, good and bad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.export import from_onnx
from edge_scnet.export.from_onnx import check_weights, import_onnx, probe_onnx
from edge_scnet.export.parity import check_onnx_parity
from edge_scnet.graph.model import save
from edge_scnet.graph.run import run_onnx
from edge_scnet.models import zoo
from tests.helpers.networks import damaged, ops, random_images

# Users' ONNX files


Dim = int | str


def user_model(
    *,
    batch: Dim = "N",
    channels: Dim = 3,
    height: Dim = 8,
    width: Dim = 8,
    folder: Path | None = None,
    location: str | None = None,
    elem_type: int = TensorProto.FLOAT,
    second_input: bool = False,
    weights_as_inputs: bool = False,
    flatten_to: list[int] | None = None,
) -> onnx.ModelProto:
    """Conv, BatchNormalization, Relu, global pooling, a traced flatten (Shape, Gather, Concat,
    Reshape), Gemm.
    """
    rng = np.random.default_rng(5)
    arrays: dict[str, np.ndarray] = {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)),
        "bn.scale": rng.uniform(0.5, 1.5, 4),
        "bn.bias": rng.standard_normal(4),
        "bn.mean": rng.standard_normal(4),
        "bn.var": rng.uniform(0.5, 1.5, 4),
        "fc.weight": rng.standard_normal((4, 4)),
        "fc.bias": rng.standard_normal(4),
    }
    initializers = [
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "conv.weight"], ["c"], name="image", pads=[1, 1, 1, 1]),
        helper.make_node(
            "BatchNormalization",
            ["c", "bn.scale", "bn.bias", "bn.mean", "bn.var"],
            ["b"],
            name="probabilities",
        ),
        helper.make_node("Relu", ["b"], ["r"], name="act"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
    ]
    if flatten_to is None:
        initializers += [
            numpy_helper.from_array(np.array(0, np.int64), "zero"),
            numpy_helper.from_array(np.array([-1]), "minus"),
        ]
        axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
        initializers.append(axes)
        nodes += [
            helper.make_node("Shape", ["p"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["n"]),
            helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
            helper.make_node("Concat", ["n1", "minus"], ["shape"], axis=0),
        ]
    else:
        initializers.append(numpy_helper.from_array(np.array(flatten_to, np.int64), "shape"))
    nodes += [
        helper.make_node("Reshape", ["p", "shape"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["probabilities"], name="fc"),
    ]
    inputs = [helper.make_tensor_value_info("image", elem_type, [batch, channels, height, width])]
    if second_input:
        inputs.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    if weights_as_inputs:
        inputs = [
            helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in initializers
        ] + inputs
    if location is not None:
        tensor = initializers[0]
        if folder is not None:
            (folder / location).write_bytes(tensor.raw_data)
        set_external_data(tensor, location)
        tensor.ClearField("raw_data")
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 4])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, initializers)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=3 if weights_as_inputs else 8
    )


def written(folder: Path, model: onnx.ModelProto, name: str = "net.onnx") -> Path:
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def refused(call: Any, *arguments: Any, **options: Any) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        call(*arguments, **options)
    return caught.value


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
    model = import_onnx(path, batch=batch, input_size=8, opset=18)
    assert ops(model) == ["Conv", "Relu", "GlobalAveragePool", "Reshape", "Gemm"]
    assert model.graph.opset_imports[""] == 18
    assert [(value.name, list(value.shape or ())) for value in model.graph.inputs] == [
        ("image", [batch, 3, 8, 8])
    ]
    assert [value.name for value in model.graph.outputs] == ["probabilities"]
    # a node called as the input or the output (legal) must not take their tensors' names
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
    parity = check_onnx_parity(path, model, random_images((1, 3, 8, 8)))
    assert parity.batches == (batch,) and parity.worst < 1e-5


def test_a_dynamic_size_is_made_static(tmp_path: Path):
    path = written(tmp_path, user_model(height="H", width="W"))
    assert refused(probed, path).hint == "pass --input-size PIXELS"
    spec = probed(path, input_size=12)
    assert (spec.input_size, spec.channels, spec.num_classes) == (12, 3, 4)
    model = import_onnx(path, batch=2, input_size=12, opset=18)
    assert list(model.graph.inputs[0].shape or ()) == [2, 3, 12, 12]
    assert run_onnx(model, [random_images((1, 3, 12, 12), 2)])[0][0].shape == (2, 4)


def test_external_data_in_the_models_own_folder(tmp_path: Path):
    path = written(tmp_path, user_model(folder=tmp_path, location="weights.bin"))
    model = import_onnx(path, batch=1, input_size=8, opset=18)
    assert check_onnx_parity(path, model, random_images((1, 3, 8, 8))).worst < 1e-5
    (tmp_path / "copy").mkdir()
    save(model, tmp_path / "copy" / "model.onnx")
    assert len(list((tmp_path / "copy").iterdir())) == 1  # in one file


def test_a_graph_changed_by_folding_fails_parity(tmp_path: Path):
    path = written(tmp_path, user_model())
    model = import_onnx(path, batch=1, input_size=8, opset=18)
    wrong = damaged(model, "fc.bias", lambda bias: bias + 1)
    with pytest.raises(ParityError, match=r"folding changed net.onnx: .* of the output range"):
        check_onnx_parity(path, wrong, random_images((1, 3, 8, 8)))


def test_nan_weights_of_a_users_file(tmp_path: Path):
    proto = user_model()
    bias = next(t for t in proto.graph.initializer if t.name == "fc.bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([0, np.nan, 1, np.inf], np.float32), "fc.bias"))
    model = import_onnx(written(tmp_path, proto), batch=1, input_size=8, opset=18)
    error = refused(check_weights, model, "net.onnx")
    assert error.message == "net.onnx: 'fc.bias' holds 2 NaN or infinite values of 4"
    assert "use an earlier one" in str(error.hint)
    check_weights(
        import_onnx(written(tmp_path, user_model()), batch=1, input_size=8, opset=18), "net.onnx"
    )


# Users' files that are refused


@pytest.mark.parametrize("outside", ["../secret.bin", "sub/../../secret.bin", "/absolute"])
def test_external_data_outside_the_folder(tmp_path: Path, outside: str):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    location = str(tmp_path / "secret.bin") if outside == "/absolute" else outside
    path = written(folder, user_model(folder=folder, location=location))
    assert (tmp_path / "secret.bin").is_file()
    error = refused(from_onnx.read_onnx, path)
    assert (
        error.message
        == f"{path}: 'conv.weight' has its data in {location!r}, outside the model's folder"
    )
    assert "save_as_external_data" in str(error.hint)


def test_external_data_that_is_a_link(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = written(folder, user_model(folder=folder, location="../secret.bin"))
    path = written(folder, user_model(location="weights.bin"))
    (folder / "weights.bin").symlink_to(tmp_path / "secret.bin")
    assert "has its data in 'weights.bin', a link" in refused(from_onnx.read_onnx, path).message
    (folder / "weights.bin").unlink()
    (folder / "real.bin").write_bytes((tmp_path / "secret.bin").read_bytes())
    (folder / "weights.bin").symlink_to(
        "real.bin"
    )  # what it points to can be exchanged at any time
    assert "has its data in 'weights.bin', a link" in refused(from_onnx.read_onnx, path).message
    (folder / "sub").symlink_to(tmp_path)
    path = written(folder, user_model(location="sub/secret.bin"))
    assert "outside the model's folder" in refused(from_onnx.read_onnx, path).message


def test_external_data_of_a_constant_node_outside_the_folder(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    proto = user_model(folder=folder, location="../secret.bin")
    proto.graph.node.insert(
        0, helper.make_node("Constant", [], ["conv.weight"], value=proto.graph.initializer[0])
    )
    del proto.graph.initializer[0]
    assert "outside" in refused(from_onnx.read_onnx, written(folder, proto)).message


def test_external_data_missing_or_cut_short(tmp_path: Path):
    path = written(tmp_path, user_model(location="weights.bin"))
    assert (
        refused(from_onnx.read_onnx, path).message
        == f"{path}: the external data file 'weights.bin' of 'conv.weight' is missing"
    )
    (tmp_path / "weights.bin").write_bytes(b"\0" * 100)
    assert "is not a valid ONNX file" in refused(from_onnx.read_onnx, path).message


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_truncated_files(tmp_path: Path, share: float):
    path = written(tmp_path, user_model())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    error = refused(from_onnx.read_onnx, path)
    assert (
        error.message.startswith(f"{path} is not a valid ONNX file: ") and "\n" not in error.message
    )
    assert f"({int(len(data) * share):,} bytes)" in str(error.hint)


def test_text_under_an_onnx_name(tmp_path: Path):
    (tmp_path / "net.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is not a valid ONNX file" in refused(from_onnx.read_onnx, tmp_path / "net.onnx").message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"second_input": True}, "has 2 inputs (image, scale), 1 is supported"),
        (
            {"elem_type": TensorProto.FLOAT16},
            "input 'image' must be float N x C x H x W, it is float16 with 4 dimensions",
        ),
        ({"channels": "C"}, "the input's channels are dynamic"),
    ],
)
def test_inputs_that_are_not_supported(tmp_path: Path, options: dict[str, Any], message: str):
    proto = user_model(**options)
    assert message in refused(from_onnx.read_onnx, written(tmp_path, proto)).message


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ({"width": 12}, {}, "the input is 8 x 12, square inputs are supported"),
        ({}, {"input_size": 16}, "the model has input size 8, --input-size says 16"),
        (
            {},
            {"channels": 1, "mean": (0.5,), "std": (0.5,)},
            "the model has channels 3, --channels says 1",
        ),
        ({}, {"num_classes": 10}, "the model has classes 4, --num-classes says 10"),
        ({}, {"class_names": ("a", "b")}, "the model has classes 4, --class-names says 2"),
        ({}, {"mean": (0.5,)}, "the input has 3 channels, and --mean has 1 values"),
        ({}, {"resize": 4}, "--resize 4 is smaller than the crop, --input-size 8"),
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
    spec = probed(path, mean=(0.5,), std=(0.5,), resize=10, class_names=tuple("abcd"))
    assert (spec.channels, spec.mean, spec.input_size, spec.resize, spec.num_classes) == (
        1,
        (0.5,),
        8,
        10,
        4,
    )
    assert spec == replace(spec, name="net", arch="onnx", classes=("a", "b", "c", "d"))
    assert (
        "the input has 1 channel, and --mean has no default for such images"
        in refused(probed, path).message
    )


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
def test_a_quantized_file(tmp_path: Path, op: str):
    proto = user_model()
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "q.scale")
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "q.scale"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "q.scale"], ["d"]),
    ]
    if op == "DequantizeLinear":
        proto.graph.initializer.append(numpy_helper.from_array(np.ones((1,), np.uint8), "q"))
        nodes = nodes[1:]
    proto.graph.initializer.append(scale)
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)
    error = refused(from_onnx.read_onnx, written(tmp_path, proto))
    assert error.message.endswith(f"is quantized already: it has {op}")
    assert error.hint == "pass the float model"


def test_what_cannot_be_made_static_or_converted(tmp_path: Path):
    path = written(tmp_path, user_model(batch=1, flatten_to=[1, 4]))
    assert (
        "net.onnx cannot be converted to opset 99 at batch 1: "
        in refused(import_onnx, path, batch=1, input_size=8, opset=99).message
    )
