"""Values of a file's tensors that are computed from constants and known sizes alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from edge_scnet.core.optional import require

Shape = tuple[int | None, ...]


def computed_constants(
    proto: Any,
    wanted: Collection[str],
    *,
    constants: Mapping[str, Any],
    shapes: Mapping[str, Shape],
) -> dict[str, Any]:
    """Returns the values of the wanted tensors that depend on no input, by name.

    ONNX Runtime computes them in the file's own opset.

    Args:
        constants: the stored tensors, by name.
        shapes: of tensors, where they are known.
    """
    sizes = {
        node.output[0]: _sizes(node, shapes)
        for node in proto.graph.node
        if node.op_type == "Shape" and None not in shapes.get(node.input[0], (None,))
    }
    known: dict[str, Any] = {}
    for node in proto.graph.node:
        if node.op_type != "Constant" and (
            node.output[0] in sizes
            or (_is_plain(node) and all(not n or n in constants or n in known for n in node.input))
        ):
            known |= dict.fromkeys(node.output, node)
    asked = sorted(name for name in wanted if name in known)
    if not asked:
        return {}
    nodes, stored = _needed(proto, asked, known, sizes)
    helper = require("onnx", extra="cpu").helper
    graph = helper.make_graph(
        nodes,
        "known",
        [],
        [helper.make_empty_tensor_value_info(name) for name in asked],
        [_named(constants[name], name) for name in stored],
    )
    model = helper.make_model(graph, opset_imports=list(proto.opset_import), ir_version=8)
    arrays = _run(model.SerializeToString())
    if arrays is None:
        return {}
    numpy_helper = require("onnx", extra="cpu").numpy_helper
    return {
        name: numpy_helper.from_array(array, name)
        for name, array in zip(asked, arrays, strict=True)
    }


def _is_plain(node: Any) -> bool:
    """Whether a node gives the same values for the same inputs, whatever is around it."""
    return (
        node.domain in ("", "ai.onnx")
        and bool(node.input)
        and not node.op_type.startswith("Random")
        and node.op_type not in ("Multinomial", "Bernoulli")
        and not any(item.HasField("g") or item.graphs for item in node.attribute)
    )


def _sizes(node: Any, shapes: Mapping[str, Shape]) -> np.ndarray:
    """What a Shape node gives."""
    limits = {item.name: item.i for item in node.attribute}
    shape = shapes[node.input[0]]
    return np.array(shape[limits.get("start", 0) : limits.get("end", len(shape))], np.int64)


def _needed(
    proto: Any, asked: list[str], known: Mapping[str, Any], sizes: Mapping[str, np.ndarray]
) -> tuple[list[Any], list[str]]:
    """The nodes that compute what is asked, in order, and the constants that they read."""
    onnx = require("onnx", extra="cpu")
    open_, seen, stored = list(asked), set(), set()
    while open_:
        name = open_.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        if name not in known:
            stored.add(name)
        elif name not in sizes:
            open_ += known[name].input
    nodes = []
    for node in proto.graph.node:
        if node.output[0] in sizes and node.output[0] in seen:
            value = onnx.numpy_helper.from_array(sizes[node.output[0]])
            nodes.append(onnx.helper.make_node("Constant", [], [node.output[0]], value=value))
        elif node.op_type != "Constant" and any(name in seen for name in node.output):
            nodes.append(node)
    return nodes, sorted(stored)


def _named(tensor: Any, name: str) -> Any:
    copy = type(tensor).FromString(tensor.SerializeToString())
    copy.name = name
    return copy


def _run(model: bytes) -> list[np.ndarray] | None:
    """What a graph without inputs gives; None where ONNX Runtime cannot run it."""
    ort = require("onnxruntime", extra="quantize")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return list(session.run(None, {}))
    except Exception:
        # the rule that asked says that the value is not known
        return None
