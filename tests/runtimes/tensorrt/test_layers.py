"""Layers, from synthetic texts after the field lists of the log and the inspector."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_scnet.compile.executed import WantedLayers, executed_in_int8
from edge_scnet.pipeline.layers import summary_of_layers
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from edge_scnet.runtimes.tensorrt.layers import CONVOLUTIONS, executed, from_inspector, from_log
from tests.helpers.data import DATA
from tests.helpers.tensorrt import INSPECTOR_10

LOG = (DATA / "tensorrt-layers.log").read_text()
INSPECTOR_11 = {
    "Layers": [
        {
            "Name": "conv1_myl0_1",
            "LayerType": "correlation",
            "Inputs": [{"Name": "a", "Datatype": "Int8", "Format": "NHWC"}],
            "Outputs": [{"Name": "b", "Datatype": "Half"}],
            "Metadata": "[ONNX Layer: conv1]",
        }
    ],
    "I/O Tensors": [{"Name": "a"}],
}


def test_layers_are_read_from_all_three_texts() -> None:
    for layers in (
        from_log([LOG]),
        from_inspector(json.dumps(INSPECTOR_10)),
        from_inspector(json.dumps(INSPECTOR_11)),
    ):
        assert (layers[0].reads, layers[0].writes) == (("int8",), ("fp16",))
        assert layers[0].nodes[0] == "conv1" and layers[0].kind in CONVOLUTIONS
        assert executed(layers)[0].precision == "int8"
    assert [layer.is_copy for layer in from_inspector(json.dumps(INSPECTOR_10))] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [('{"Layers": ["conv1"]}', "names only"), ("{}", "no layer"), ("[", "no layer")],
)
def test_an_inspector_that_tells_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_inspector(text)


@pytest.mark.parametrize(
    ("metadata", "nodes"),
    [
        ("[ONNX Layer: a][ONNX Layer: b]", ("a", "b")),
        ("[ONNX Layer: a]\u001e[ONNX Layer: b]", ("a", "b")),
        ("[ONNX Layer: blocks[0]/conv][ONNX Layer: b[1]]", ("blocks[0]/conv", "b[1]")),
        ("[ONNX Layer: a], [ONNX Layer: b] and more", ("a", "b")),
        ("", ()),
    ],
)
def test_names_of_nodes_may_hold_brackets(metadata: str, nodes: tuple[str, ...]) -> None:
    row = {"Name": "x", "LayerType": "conv", "Metadata": metadata}
    other = {"Name": "y", "LayerType": "conv", "Metadata": "[ONNX Layer: y]"}
    assert from_inspector(json.dumps({"Layers": [row, other]}))[0].nodes == nodes


def test_a_stem_fused_with_its_max_pool_is_a_convolution() -> None:
    row = {
        "Name": "conv1.weight + QuantizeLinear_7 + Conv_9 + MaxPool_12",
        "LayerType": "CaskConvActPool",
        "ParameterType": "ConvActPool",
        "Inputs": [{"Name": "a", "Datatype": "Int8"}],
        "Metadata": "[ONNX Layer: Conv_9]\u001e[ONNX Layer: MaxPool_12]",
    }
    (layer,) = executed(from_inspector(json.dumps({"Layers": [row]})))
    assert layer.kind in CONVOLUTIONS and layer.precision == "int8" and layer.nodes[0] == "Conv_9"


def _rows(*rows: dict[str, Any]) -> str:
    return json.dumps({"Layers": [{"Name": "x", **row} for row in rows]})


def _tensor(words: str) -> list[dict[str, Any]]:
    return [
        {"Name": "a", "Location": "Device", "Dimensions": [1, 8, 4, 4], "Format/Datatype": words}
    ]


_INT8 = "Thirty-two wide channel vectorized row major Int8 format"
# one row of a layer's kind: its fields, what it is, what it reads
KINDS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"LayerType": "ConvActPool", "Inputs": _tensor(_INT8)}, "convolution", "int8"),
    (
        {"LayerType": "CaskConvActPool", "Inputs": _tensor("Row major Int8 format")},
        "convolution",
        "int8",
    ),
    (
        {
            "LayerType": "CaskConvolution",
            "ParameterType": "Convolution",
            "ConvWeights": {"Type": "Int8", "Count": 9},
            "Inputs": _tensor(_INT8),
        },
        "convolution",
        "int8",
    ),
    ({"LayerType": "CaskGemmConvolution", "Inputs": _tensor("Half")}, "convolution", "fp16"),
    ({"LayerType": "CaskFlattenConvolution", "Inputs": _tensor("Int8")}, "convolution", "int8"),
    ({"LayerType": "CudaDepthwiseConvolution", "Inputs": _tensor("Half")}, "convolution", "fp16"),
    ({"LayerType": "conv_act_pool", "Inputs": [{"Datatype": "Int8"}]}, "convolution", "int8"),
    ({"LayerType": "correlation", "Inputs": [{"Datatype": "Int8"}]}, "convolution", "int8"),
    ({"LayerType": "deconv", "Inputs": [{"Datatype": "FP16"}]}, "convolution", "fp16"),
    (
        {"LayerType": "fusion", "Weights": {"Type": "Int8", "Count": 9}, "Inputs": _tensor(_INT8)},
        "convolution",
        "int8",
    ),
    ({"LayerType": "fusion", "Inputs": [{"Datatype": "Int8"}]}, "other", "int8"),
    ({"LayerType": "kgen", "Inputs": [{"Datatype": "Half"}]}, "other", "fp16"),
    ({"LayerType": "convert", "Inputs": [{"Datatype": "Half"}]}, "other", "fp16"),
    (
        {"LayerType": "gemm", "Weights": {"Type": "Int8"}, "Inputs": [{"Datatype": "Int8"}]},
        "other",
        "int8",
    ),
    (
        {
            "LayerType": "CaskPooling",
            "ParameterType": "Pooling",
            "Inputs": _tensor("Channel major FP16 format where channel % 8 == 0"),
        },
        "other",
        "fp16",
    ),
    ({"LayerType": "PointWiseV2", "Inputs": _tensor("Row major linear FP32.")}, "other", "fp32"),
    (
        {"LayerType": "Shuffle", "Inputs": _tensor("Row major linear Int32 format")},
        "other",
        "int32",
    ),
    ({"LayerType": "CaskPooling", "Inputs": _tensor("N/A due to dynamic shapes")}, "other", "?"),
    ({"LayerType": "NoOp", "ParameterType": "NoOp", "Inputs": _tensor(_INT8)}, "other", "?"),
    ({"LayerType": "ShapeHostToDevice", "Inputs": _tensor("Int8")}, "other", "?"),
    (
        {
            "LayerType": "Reformat",
            "ParameterType": "Reformat",
            "Origin": "QDQ",
            "Inputs": _tensor("Row major linear FP32"),
            "Outputs": _tensor(_INT8),
        },
        "other",
        "fp32",
    ),
    (
        {
            "LayerType": "Reformat",
            "ParameterType": "Reformat",
            "Origin": "REFORMAT",
            "Inputs": _tensor("Half"),
        },
        "copy",
        "fp16",
    ),
    ({"LayerType": "Reformat", "Inputs": _tensor("Half")}, "copy", "fp16"),
)


@pytest.mark.parametrize(
    ("row", "what", "reads"),
    KINDS,
    ids=[f"{row['LayerType']}-{row.get('Origin', '')}" for row, _, _ in KINDS],
)
def test_what_a_layer_is(row: dict[str, Any], what: str, reads: str) -> None:
    (layer,) = executed(from_inspector(_rows(row)))
    assert (layer.is_convolution, layer.is_copy) == (what == "convolution", what == "copy")
    assert layer.precision == reads


# names of TensorRT 8.5 and older, which write no metadata, with the nodes in them
NAMES = {
    "layer1.0.conv1.weight + layer1.0.conv1/weight/Q_quantize_scale_node + layer1.0.conv1"
    " + layer1.0.relu": ("layer1.0.conv1", "layer1.0.relu"),
    "conv1.weight + QuantizeLinear_7_quantize_scale_node + Conv_9 + MaxPool_12": (
        "Conv_9",
        "MaxPool_12",
    ),
    "Pad_3 + onnx::Conv_91 + QuantizeLinear_4 + Conv_8 + PWN(Clip_9)": (
        "Pad_3",
        "Conv_8",
        "Clip_9",
        "QuantizeLinear_4",
    ),
    "k1.a || k1.b": ("k1.a", "k1.b"),
    "stem/Q_clone_0 + stem": ("stem", "stem/Q_clone_0"),
    "PWN(PWN(gate/Sigmoid), gate/Mul)": ("gate/Sigmoid", "gate/Mul"),
    "PWN(gate(0)/Sigmoid)": ("gate(0)/Sigmoid",),
    "x/Q": ("x/Q",),
    "Reformatting CopyNode for Input Tensor 0 to layer2.conv.weight + layer2.conv + relu": (
        "layer2.conv",
        "relu",
    ),
    "{ForeignNode[norm/Sub...norm/Add]}": ("norm/Sub", "norm/Add"),
    "(Unnamed Layer* 12) [Shuffle]": (),
    "": (),
}


@pytest.mark.parametrize(("name", "nodes"), NAMES.items())
def test_without_metadata_the_name_tells_the_nodes(name: str, nodes: tuple[str, ...]) -> None:
    (layer,) = from_inspector(_rows({"Name": name, "LayerType": "CaskConvolution"}))
    assert layer.nodes == nodes


def test_a_hostile_name_takes_no_longer_than_its_length() -> None:
    for name in ("PWN(" * 200_000, "a" + ")" * 800_000, "a + " * 20_000):
        from_inspector(_rows({"Name": name, "LayerType": "CaskConvolution"}))


def test_the_first_node_is_none_that_quantizes() -> None:
    metadata = "[ONNX Layer: conv1/weight/Q]\u001e[ONNX Layer: conv1/weight/DQ][ONNX Layer: conv1]"
    (layer,) = from_inspector(_rows({"LayerType": "CaskConvolution", "Metadata": metadata}))
    assert layer.nodes == ("conv1", "conv1/weight/Q", "conv1/weight/DQ")


def test_a_builders_log_in_the_words_of_8_and_10() -> None:
    """Formats are sentences there, the kind is behind the tensors, and the origin is told."""
    log = (
        f"Name: a, LayerType: Reformat, Inputs: [ {{ Name: x, Dimensions: [1,8,4,4],"
        f" Format/Datatype: Row major linear FP32 }}], Outputs: [ {{ Name: y, Format/Datatype:"
        f" {_INT8} }}], ParameterType: Reformat, Origin: QDQ, TacticValue: 0x1, Metadata:"
        " [ONNX Layer: x/Q]\n"
        f"Name: b, LayerType: CaskConvolution, Inputs: [ {{ Name: y, Format/Datatype: {_INT8} }}],"
        " Outputs: [ { Name: z, Format/Datatype: Channel major FP16 format where channel % 8 == 0"
        " }], ParameterType: ConvActPool, ConvWeights: {Type: Int8, Count: 9}, TacticName: t,"
        " Metadata: [ONNX Layer: conv1]"
    )
    quantizer, stem = from_log([log])
    assert (quantizer.reads, quantizer.writes) == (("fp32",), ("int8",)) and not quantizer.is_copy
    assert (stem.kind, stem.reads, stem.writes) == ("ConvActPool", ("int8",), ("fp16",))
    assert stem.is_convolution and stem.nodes == ("conv1",)


def test_an_engine_of_8_5_tells_its_convolutions_and_proves_them() -> None:
    text = _rows(
        {"Name": "x/Q", "LayerType": "Reformat", "Origin": "QDQ", "Inputs": _tensor("Half")},
        {
            "Name": "stem.weight + stem/weight/Q_quantize_scale_node + stem + pool",
            "LayerType": "ConvActPool",
            "Inputs": _tensor(_INT8),
        },
        {
            "Name": "k.a.weight + k.a || k.b.weight + k.b",
            "LayerType": "CaskConvolution",
            "Inputs": _tensor(_INT8),
        },
        {"Name": "k.b copy", "LayerType": "NoOp", "Inputs": _tensor("Half")},
        {
            "Name": "Reformatting CopyNode for Input Tensor 0 to last.weight + last",
            "LayerType": "Reformat",
            "Origin": "REFORMAT",
            "Inputs": _tensor(_INT8),
        },
        {"Name": "last.weight + last", "LayerType": "CaskConvolution", "Inputs": _tensor("Half")},
    )
    layers = executed(from_inspector(text))
    wanted = WantedLayers(convolutions=("stem", "k.a", "k.b", "last"))
    found = executed_in_int8(TENSORRT, layers, wanted)
    assert (found.int8, found.in_float) == (("stem", "k.a", "k.b"), {"last": "fp16"})
    summary = summary_of_layers(layers, TENSORRT, int8=True)
    assert summary.convolutions == {"int8": 2, "fp16": 1}
    assert (summary.copies, summary.float_convolutions) == (("last",), ("last",))
