"""Other quantizers' files: old opsets with channel axes, another domain, external data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.errors import ArtifactError
from edge_scnet.graph.lint import lint
from edge_scnet.graph.quantized_file import read_quantized
from edge_scnet.graph.run import run_onnx

SCALES = np.array([0.01, 0.02, 0.04], np.float32)
CODES = np.arange(-6, 6, dtype=np.int8).reshape(3, 4, 1, 1) * 5


def conv_model(
    *,
    opset: int = 13,
    domain: str = "",
    codes: type[np.generic] = np.uint8,
    resize: bool = False,
    listed_weights: bool = False,
) -> onnx.ModelProto:
    """A 1x1 convolution of 4 channels to 3, as ONNX Runtime's quantizer writes one: weights by
    channel with the attribute `axis`, an INT32 bias whose scale is a list of one.
    """
    bias = np.array([10, -20, 30], np.int32)
    arrays = {
        "xs": np.array(0.05, np.float32),
        "xz": np.array(7, codes),
        "w": CODES,
        "ws": SCALES,
        "wz": np.zeros(3, np.int8),
        "b": bias,
        "bs": np.array([0.001], np.float32),
        "bz": np.array(0, np.int32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], domain=domain),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], domain=domain),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"]),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["y"], name="conv"),
    ]
    if resize:
        arrays["up"] = np.array([1, 1, 2, 2], np.float32)
        nodes[-1].output[0] = "c"
        nodes.append(helper.make_node("Resize", ["c", "up"], ["y"], name="up", mode="linear"))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 2, 2])]
    if listed_weights:
        inputs.append(helper.make_tensor_value_info("w", TensorProto.INT8, CODES.shape))
    graph = helper.make_graph(
        nodes,
        "conv",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=5)


def expected(image: np.ndarray) -> np.ndarray:
    """What `conv_model` computes, by hand."""
    rounded = (np.clip(np.rint(image / 0.05) + 7, 0, 255) - 7) * 0.05
    weights = CODES[:, :, 0, 0] * SCALES[:, None]
    bias = np.array([10, -20, 30]) * 0.001
    return np.einsum("oc,nchw->nohw", weights, rounded) + bias[:, None, None]


@pytest.mark.parametrize("opset", [10, 11, 12, 13])
def test_scales_by_channel_before_opset_13_are_lifted(tmp_path: Path, opset: int) -> None:
    path = tmp_path / "old.onnx"
    onnx.save(conv_model(opset=opset, listed_weights=True), path)
    file = read_quantized(path)
    assert file.notes == (() if opset == 13 else (f"opset {opset} is lifted to 13",))
    onnx.checker.check_model(ir.to_proto(file.model), full_check=True)
    image = np.random.default_rng(0).standard_normal((1, 4, 2, 2)).astype(np.float32)
    ((output,),) = run_onnx(file.model, [image])
    np.testing.assert_allclose(output, expected(image), rtol=1e-5)
    assert [f.rule for f in lint(file.model, "openvino")] == []
    # the layer that has it, not the node behind its bias
    assert [f.node for f in lint(file.model, "tensorrt") if f.rule == "int32-bias"] == ["conv"]


def test_an_operator_that_the_converter_lifts_wrongly_is_named(tmp_path: Path) -> None:
    onnx.save(conv_model(opset=10, resize=True), tmp_path / "old.onnx")
    with pytest.raises(ArtifactError, match="Resize up of opset 10 has another meaning") as caught:
        read_quantized(tmp_path / "old.onnx")
    assert "opset 13 or newer" in caught.value.hint


def test_8_bit_codes_of_com_microsoft_are_onnx_own(tmp_path: Path) -> None:
    onnx.save(conv_model(domain="com.microsoft"), tmp_path / "ms.onnx")
    file = read_quantized(tmp_path / "ms.onnx")
    assert {node.domain for node in file.model.graph} == {""}
    assert file.notes == ("2 Q/DQ of com.microsoft are ONNX's own here",)


@pytest.mark.parametrize(("opset", "domain"), [(13, "com.microsoft"), (21, "")])
def test_16_bit_codes_are_onnx_own_from_opset_21(tmp_path: Path, opset: int, domain: str) -> None:
    model = conv_model(domain="com.microsoft", opset=opset, codes=np.uint16)
    onnx.save(model, tmp_path / "wide.onnx")
    file = read_quantized(tmp_path / "wide.onnx")
    quantize = next(node for node in file.model.graph if node.op_type == "QuantizeLinear")
    assert quantize.domain == domain
    # named in either case: neither runtime computes 16 bits in integers
    assert {(f.rule, f.severity) for f in lint(file.model, "openvino")} == {("type", "warning")}
    assert {f.rule for f in lint(file.model, "tensorrt")} >= {"type"}


@pytest.mark.parametrize(
    ("words", "content"),
    [
        ("no such file", None),
        ("is no ONNX file that can be read", b"hello"),
        ("holds no Q/DQ", helper.make_model(helper.make_graph([], "empty", [], []))),
    ],
)
def test_what_is_no_quantized_file(tmp_path: Path, words: str, content: object) -> None:
    path = tmp_path / "file.onnx"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        onnx.save(content, path)
    with pytest.raises(ArtifactError, match=words):
        read_quantized(path)


def test_external_data_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    onnx.save(conv_model(), path, save_as_external_data=True, location="w.data", size_threshold=0)
    read_quantized(path)
    (tmp_path / "w.data").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"w\.data does not hold all of "):
        read_quantized(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"raw_data": b"\0"}, "the weight 'w' cannot be read"),
        ({"data_type": 99}, "the weight 'w' cannot be read"),
    ],
)
def test_a_weight_of_another_size_than_it_says_is_named(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    model = conv_model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    for name, value in change.items():
        setattr(weight, name, value)
    (tmp_path / "q.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=words):
        read_quantized(tmp_path / "q.onnx")


def test_a_place_of_weights_with_a_nul_is_no_file(tmp_path: Path) -> None:
    model = conv_model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="a\0b")
    (tmp_path / "q.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match="which is no file's name"):
        read_quantized(tmp_path / "q.onnx")
