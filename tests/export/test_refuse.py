"""What no later stage can use is refused when the file is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.export.onnx_file import read_onnx
from edge_scnet.export.refuse import refuse
from tests.helpers.onnx_files import refused, written

PATH = Path("net.onnx")
SIZES = [1, 3, 4, 4]


def node(kind: str, inputs: str, outputs: str = "y", **attributes: object) -> onnx.NodeProto:
    name = f"the {kind}"
    return helper.make_node(kind, inputs.split(), outputs.split(), name=name, **attributes)


def file(
    nodes: Sequence[onnx.NodeProto], *, outputs: Sequence[str] = ("y",), opset: int = 17
) -> onnx.ModelProto:
    stored = {
        "ratio": np.float32(0.5),
        "yes": np.bool_(1),
        "no": np.bool_(0),
        "ones": np.ones(3, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SIZES)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SIZES) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(n.domain, 1) for n in nodes if n.domain]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.mark.parametrize(
    ("domain", "hint"),
    [
        ("com.microsoft.extensions", "pass the network alone"),
        ("com.microsoft", "ORT_ENABLE_BASIC"),
        ("com.acme", "export the model without Foo, or pass the part before it"),
    ],
)
def test_operators_of_another_domain_are_named_with_it(domain: str, hint: str, tmp_path: Path):
    nodes = [node("Relu", "x", "r"), node("Foo", "r", "f", domain=domain), node("Neg", "f")]
    error = refused(read_onnx, written(tmp_path, file(nodes)))
    assert f"the file has operators of {domain}: Foo, first Foo at 'the Foo'" in error.message
    assert hint in error.hint


def test_operators_inside_a_branch_are_seen_and_functions_of_the_file_are_its_own():
    body = [node("Foo", "x", "inner", domain="com.acme")]
    output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, SIZES)
    branch = helper.make_graph(body, "b", [], [output])
    proto = file([node("If", "yes", then_branch=branch, else_branch=branch)])
    assert "operators of com.acme: Foo" in refused(refuse, proto, PATH).message
    function = helper.make_function(
        "com.acme", "Foo", ["a"], ["b"], [node("Relu", "a", "b")], [helper.make_opsetid("", 17)]
    )
    proto.functions.append(function)
    refuse(proto, PATH)


def test_outputs_that_cannot_be_used():
    relu = [node("Relu", "x")]
    assert "net.onnx has no output" in refused(refuse, file(relu, outputs=()), PATH).message
    missing = refused(refuse, file(relu, outputs=("y", "boxes")), PATH)
    assert "no node gives output 'boxes'" in missing.message
    proto = file([node("SplitToSequence", "x")])
    proto.graph.output[0].CopyFrom(
        helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    )
    error = refused(refuse, proto, PATH)
    assert "output 'y' is of sequence type; tensors are supported" in error.message
    proto = file(relu)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    assert "output 'y' is of STRING" in refused(refuse, proto, PATH).message


NOISE = [node("RandomNormalLike", "x", "n"), node("Add", "x n", "y")]


@pytest.mark.parametrize(
    ("nodes", "opset", "message"),
    [
        (NOISE, 17, "RandomNormalLike at 'the RandomNormalLike', on the way to output 'y', draws"),
        ([node("Multinomial", "x", sample_size=1)], 17, "Multinomial at 'the Multinomial'"),
        ([node("Bernoulli", "x")], 17, "Bernoulli at"),
        ([node("Dropout", "x ratio yes")], 17, "Dropout at 'the Dropout', on the way to output"),
        (
            [node("BatchNormalization", "x ones ones ones ones", "y m v", training_mode=1)],
            17,
            "is in training mode: it normalises by the images of the batch",
        ),
        (
            [node("BatchNormalization", "x ones ones ones ones", "y m v sm sv")],
            9,
            "BatchNormalization at 'the BatchNormalization', on the way to output 'y', is in",
        ),
    ],
)
def test_what_is_random_or_in_training_on_the_way_to_an_output(
    nodes: Sequence[onnx.NodeProto], opset: int, message: str
):
    error = refused(refuse, file(nodes, opset=opset), PATH)
    assert message in error.message and error.hint.startswith("export the ")


@pytest.mark.parametrize(
    ("nodes", "opset"),
    [
        ([node("Dropout", "x ratio no")], 17),
        ([node("Dropout", "x ratio")], 17),
        ([node("Dropout", "x")], 10),
        ([node("BatchNormalization", "x ones ones ones ones")], 9),
        # what no output depends on does not matter
        ([node("RandomNormalLike", "x", "unused"), node("Relu", "x")], 17),
    ],
)
def test_what_only_looks_random_is_taken(nodes: Sequence[onnx.NodeProto], opset: int):
    refuse(file(nodes, opset=opset), PATH)


def test_the_outputs_without_chance_are_named_to_be_cut_out():
    proto = file([*NOISE, node("Relu", "x", "sound")], outputs=("y", "sound"))
    hint = refused(refuse, proto, PATH).hint
    assert "extract_model('net.onnx', 'part.onnx', ['x'], ['sound'])" in hint
