"""Layers, from synthetic texts after the field lists of the log and the inspector."""

from __future__ import annotations

import json

import pytest

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
    assert from_inspector(json.dumps({"Layers": [row]}))[0].nodes == nodes


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
