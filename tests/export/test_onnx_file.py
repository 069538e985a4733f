"""Users' ONNX files that are refused before anything is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.export.file_parity import check_onnx_parity
from edge_scnet.export.from_onnx import import_onnx
from edge_scnet.export.onnx_file import external_files, read_onnx
from tests.helpers.networks import random_images
from tests.helpers.onnx_files import refused, user_model, written
from tests.helpers.onnx_nodes import File


@pytest.mark.parametrize("outside", ["../secret.bin", "sub/../../secret.bin", "/absolute"])
def test_external_data_outside_the_folder(tmp_path: Path, outside: str):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    location = str(tmp_path / "secret.bin") if outside == "/absolute" else outside
    path = written(folder, user_model(folder=folder, location=location))
    assert (tmp_path / "secret.bin").is_file()
    error = refused(read_onnx, path)
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
    assert "has its data in 'weights.bin', a link" in refused(read_onnx, path).message
    (folder / "weights.bin").unlink()
    (folder / "real.bin").write_bytes((tmp_path / "secret.bin").read_bytes())
    (folder / "weights.bin").symlink_to(
        "real.bin"
    )  # what it points to can be exchanged at any time
    assert "has its data in 'weights.bin', a link" in refused(read_onnx, path).message
    (folder / "sub").symlink_to(tmp_path)
    path = written(folder, user_model(location="sub/secret.bin"))
    assert "outside the model's folder" in refused(read_onnx, path).message


def test_external_data_of_a_constant_node_outside_the_folder(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    proto = user_model(folder=folder, location="../secret.bin")
    proto.graph.node.insert(
        0, helper.make_node("Constant", [], ["conv.weight"], value=proto.graph.initializer[0])
    )
    del proto.graph.initializer[0]
    assert "outside" in refused(read_onnx, written(folder, proto)).message


def test_the_data_file_of_a_constant_node_is_the_model_s_too(tmp_path: Path):
    """Its hash tells whether a build can be reused."""
    proto = user_model(folder=tmp_path, location="weights.bin")
    constant = helper.make_node("Constant", [], ["conv.weight"], value=proto.graph.initializer[0])
    proto.graph.node.insert(0, constant)
    del proto.graph.initializer[0]
    path = written(tmp_path, proto)
    assert external_files(path) == [tmp_path / "weights.bin"]
    (tmp_path / "weights.bin").unlink()
    assert "the external data file 'weights.bin'" in refused(external_files, path).message


def test_external_data_missing_or_cut_short(tmp_path: Path):
    path = written(tmp_path, user_model(location="weights.bin"))
    assert (
        refused(read_onnx, path).message
        == f"{path}: the external data file 'weights.bin' of 'conv.weight' is missing"
    )
    (tmp_path / "weights.bin").write_bytes(b"\0" * 100)
    assert "is not a valid ONNX file" in refused(read_onnx, path).message


def test_outputs_whose_shape_the_file_does_not_state_are_read(tmp_path: Path):
    proto = user_model()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    (output,) = read_onnx(written(tmp_path, proto)).graph.output
    assert output.type.tensor_type.HasField("shape")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_truncated_files(tmp_path: Path, share: float):
    path = written(tmp_path, user_model())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    error = refused(read_onnx, path)
    assert (
        error.message.startswith(f"{path} is not a valid ONNX file: ") and "\n" not in error.message
    )
    assert f"({int(len(data) * share):,} bytes)" in str(error.hint)


def test_text_under_an_onnx_name(tmp_path: Path):
    (tmp_path / "net.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is not a valid ONNX file" in refused(read_onnx, tmp_path / "net.onnx").message


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
    error = refused(read_onnx, written(tmp_path, proto))
    assert error.message.endswith(f"is quantized already: it has {op}")
    assert error.hint == "pass the float model"


def test_operators_that_the_file_s_opset_took_back(tmp_path: Path):
    old = File(opset=18)
    scale, bias = old.put([1, 2]), old.put([0, 1])
    normal = old.op("GroupNormalization", "x", scale, bias, num_groups=2)
    path = written(tmp_path, old.model(normal, kind=1, shape=[1, 4, 6, 6]))
    proto = read_onnx(path)
    assert (proto.graph.node[0].domain, len(proto.opset_import)) == ("", 1)
    imported = import_onnx(path, ModelOptions(), batch=1, opset=17)
    assert check_onnx_parity(path, imported, random_images((1, 4, 6, 6))).worst < 1e-5

    upsample = File(opset=10)
    larger = upsample.op("Upsample", "x", upsample.put([1, 1, 2, 2]))
    error = refused(
        read_onnx, written(tmp_path, upsample.model(larger, kind=1, shape=[1, 4, 12, 12]))
    )
    assert "Op registered for Upsample is deprecated" in error.message
    assert error.hint == "its opset has another operator for that: export the model again"
