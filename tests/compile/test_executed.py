"""What executes in INT8: found under the names that runtimes give, and named where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.compile import executed
from edge_scnet.compile.executed import WantedLayers, executed_in_int8, wanted_layers
from edge_scnet.core.events import Silent
from edge_scnet.core.facts import EngineFacts
from edge_scnet.errors import ParityError
from edge_scnet.graph.model import load
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions
from edge_scnet.runtimes.openvino import OPENVINO
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from tests.helpers.reports import qdq_facts


def _wanted(*names: str, others: tuple[str, ...] = (), **aliases: list[str]) -> WantedLayers:
    return WantedLayers(convolutions=names, others=others, aliases=aliases)


def _layer(kind: str, precision: str, *nodes: str, is_copy: bool = False) -> ExecutedLayer:
    return ExecutedLayer(kind=kind, precision=precision, nodes=nodes, is_copy=is_copy)


def _network(folder: Path, *, quantized: bool = True) -> Path:
    """A Q/DQ graph with convolutions of one and of two channels, inside and as outputs."""
    constants: dict[str, np.ndarray] = {"s": np.float32(0.02), "z": np.uint8(0)}
    nodes = []

    def pair(name: str) -> str:
        if not quantized:
            return name
        nodes.append(helper.make_node("QuantizeLinear", [name, "s", "z"], [f"{name}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", "s", "z"], [f"{name}_dq"]))
        return f"{name}_dq"

    def convolution(name: str, data: str, channels: tuple[int, int], out: str) -> str:
        shape = (channels[1], channels[0], 3, 3)
        codes = np.random.default_rng(len(nodes)).integers(-64, 65, shape).astype(np.int8)
        constants.update({f"{name}_w": codes, f"{name}_ws": np.full(channels[1], 0.01, np.float32)})
        constants[f"{name}_wz"] = np.zeros(channels[1], np.int8)
        constants[f"{name}_b"] = np.linspace(0.1, 0.2, channels[1]).astype(np.float32)
        weights = [f"{name}_w", f"{name}_ws", f"{name}_wz"]
        nodes.append(helper.make_node("DequantizeLinear", weights, [f"{name}_dw"], axis=0))
        inputs = [data, f"{name}_dw", f"{name}_b"]
        nodes.append(helper.make_node("Conv", inputs, [out], name=name, pads=[1] * 4))
        return out

    stem = convolution("stem", pair("input"), (3, 8), "stem")
    nodes.append(helper.make_node("Relu", [stem], ["features"], name="features"))
    features = pair("features")
    convolution("head/boxes", features, (8, 2), "out, boxes")
    convolution("head/score", features, (8, 1), "score")
    nodes.append(helper.make_node("Sigmoid", ["score"], ["probability"], name="probability"))
    one = convolution("mask, one", features, (8, 1), "mask")
    convolution("last", pair(one), (1, 4), "last_out")
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in ("out, boxes", "probability", "last_out")
    ]
    data = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", [data], outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = folder / "network.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


_CONVOLUTIONS = ("stem", "head/boxes", "head/score", "mask, one", "last")


@pytest.mark.parametrize("quantized", [True, False])
def test_convolutions_that_give_outputs_or_have_one_channel_are_found(
    tmp_path: Path, quantized: bool
) -> None:
    pytest.importorskip("openvino")
    path = _network(tmp_path, quantized=quantized)
    wanted = wanted_layers(qdq_facts(int8_convolutions=_CONVOLUTIONS), load(path))
    with OPENVINO.open(path, OpenOptions(precision="f32")) as session:
        found = executed_in_int8(OPENVINO, session.executed_precisions(), wanted)
    if quantized:
        assert found.int8 == _CONVOLUTIONS and found.in_float == {}
    else:
        assert found.int8 == () and found.in_float == dict.fromkeys(_CONVOLUTIONS, "f32")


def test_a_node_is_found_by_its_name_or_its_tensors() -> None:
    layers = (
        _layer("Convolution", "u8", "a", "a/Relu"),
        _layer("Convolution", "u8", "boxes"),
        _layer("FullyConnected", "i8", "x", "y", "z"),
    )
    wanted = _wanted("a", "b", "c", others=("y,z",), b=["boxes"])
    found = executed_in_int8(OPENVINO, layers, wanted)
    assert found.int8 == ("a", "b", "y,z") and found.in_float == {"c": executed.NOT_FOUND}
    assert (found.count(wanted.convolutions), found.count(wanted.others)) == (2, 1)


def test_a_linear_layer_listed_under_what_its_bias_is_folded_into_is_found(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    codes = np.random.default_rng(0).integers(-64, 65, (16, 32)).astype(np.int8)
    constants = {
        "s": np.float32(0.02),
        "z": np.uint8(0),
        "w": codes,
        "ws": np.full(16, 0.01, np.float32),
        "wz": np.zeros(16, np.int8),
        "b": np.linspace(-1, 1, 16).astype(np.float32),
        "c": np.float32(1.7),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="x/Q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="x/DQ"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=0, name="w/DQ"),
        helper.make_node("Gemm", ["d", "dw", "b"], ["fc"], name="fc", transB=1),
        helper.make_node("Mul", ["fc", "c"], ["scaled"], name="scaled"),
        helper.make_node("Sigmoid", ["scaled"], ["labels"], name="last"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in (("x", 32), ("labels", 16))
    ]
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "fc.onnx")
    facts = qdq_facts(int8_convolutions=(), int8_layers=("fc",))
    wanted = wanted_layers(facts, load(tmp_path / "fc.onnx"))
    assert wanted.fused["fc"] == ("scaled", "scaled", "last", "labels")
    with OPENVINO.open(tmp_path / "fc.onnx", OpenOptions(precision="f32")) as session:
        found = executed_in_int8(OPENVINO, session.executed_precisions(), wanted)
    assert found.int8 == ("fc",)


def test_of_two_convolutions_of_one_name_both_must_be_int8() -> None:
    layers = (_layer("Convolution", "u8", "a"), _layer("Convolution", "f32", "a"))
    assert executed_in_int8(OPENVINO, layers, _wanted("a")).in_float == {"a": "f32"}


def test_what_an_activation_of_its_own_computes_in_decides_nothing() -> None:
    layers = (_layer("Convolution", "f32", "a"), _layer("Eltwise", "u8", "a", "a/Relu"))
    assert executed_in_int8(OPENVINO, layers, _wanted("a")).in_float == {"a": "f32"}


def test_a_stem_fused_with_its_pool_reads_int8() -> None:
    kinds = ("CaskConvActPool", "ConvActPool", "some kind of tomorrow")
    layers = [_layer(kind, "int8", f"conv{i}", f"pool{i}") for i, kind in enumerate(kinds)]
    layers += [_layer("another of tomorrow", "fp16", "late"), _layer("?", "?", "told of nothing")]
    layers += [_layer("Reformat", "int8", "copied", is_copy=True)]
    names = [node for layer in layers for node in layer.nodes if not node.startswith("pool")]
    found = executed_in_int8(TENSORRT, layers, _wanted(*names))
    assert found.int8 == ("conv0", "conv1", "conv2")
    assert found.in_float == {
        "late": "fp16",
        "told of nothing": executed.NOT_FOUND,
        "copied": executed.NOT_FOUND,
    }


def test_what_the_facts_want() -> None:
    facts = qdq_facts(int8_convolutions=("a", "b"), int8_layers=("a", "fc", "b"))
    wanted = wanted_layers(facts)
    assert wanted.convolutions == ("a", "b") and wanted.others == ("fc",)
    assert wanted.names == ("a", "b", "fc") and wanted.aliases == {}


def test_a_target_that_requires_int8_refuses_what_is_in_float() -> None:
    layers = [_layer("Convolution", "f32", f"c{i}") for i in range(10)]
    wanted = _wanted(*(f"c{i}" for i in range(10)))
    found = executed_in_int8(OPENVINO, layers, wanted)
    words = r"10 of 10 convolutions of engine.xml .*: c0 \(f32\), .*c7 \(f32\) and 2 more"
    with pytest.raises(ParityError, match=words) as error:
        executed.require_int8(found, wanted, file="engine.xml")
    assert "require_int8" in str(error.value.hint)
    executed.require_int8(executed_in_int8(OPENVINO, [], _wanted()), _wanted())


def test_a_layer_that_is_not_told_of_refuses_no_engine() -> None:
    wanted = _wanted("a", "b")
    found = executed_in_int8(OPENVINO, [_layer("Convolution", "u8", "a")], wanted)
    assert found.in_float == {"b": executed.NOT_FOUND}
    executed.require_int8(found, wanted)
    # beside one that is in float only that one is named
    mixed = executed_in_int8(OPENVINO, [_layer("Convolution", "f32", "a")], wanted)
    with pytest.raises(ParityError, match=r"^1 of 2 convolutions .*: a \(f32\)$"):
        executed.require_int8(mixed, wanted)


def test_the_warning_and_the_line_name_what_is_in_float() -> None:
    messages: list[str] = []

    class Told(Silent):
        def warn(self, message: str) -> None:
            messages.append(message)

    layers = (_layer("Convolution", "u8", "a"), _layer("Convolution", "f32", "b"))
    wanted = _wanted("a", "b", others=("fc",))
    found = executed_in_int8(OPENVINO, layers, wanted)
    executed.warn_of_float(found.in_float, Told())
    assert messages == [
        "1 layer should execute in INT8 and does not: b (f32); require_int8 = true in the target"
        " makes this an error",
        "1 layer should execute in INT8, and whether it does is not known: fc (not found); with"
        " require_int8 = true in the target that is not proven",
    ]
    executed.warn_of_float({}, Told())
    assert len(messages) == 2
    facts = EngineFacts(precision="int8", runtime="openvino", **executed.counts(found, wanted))
    assert executed.summary(facts, verb="execute in") == (
        "1 convolutions and 0 linear or transposed layers execute in INT8, not b (f32), fc (not"
        " found)"
    )


def test_where_all_is_well_the_facts_and_the_line_say_no_more_than_the_number() -> None:
    layers = (_layer("Convolution", "u8", "a"), _layer("Convolution", "i8", "b"))
    found = executed_in_int8(OPENVINO, layers, _wanted("a", "b"))
    counts = executed.counts(found, _wanted("a", "b"))
    assert counts == {"int8_convolutions": 2, "int8_others": None, "in_float": None}
    facts = EngineFacts(precision="int8", runtime="openvino", **counts)
    assert executed.summary(facts, verb="execute in") == "2 convolutions execute in INT8"
