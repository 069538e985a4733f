"""Writes older opsets than torch's exporter, which starts at 18: TensorRT 8 reads up to 17."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.export.convert import convert_opset
from edge_scnet.graph.model import add_initializer
from edge_scnet.graph.operators import is_spatial_mean

if TYPE_CHECKING:
    import onnx_ir as ir

OLDEST_EXPORTED = 18


def lower(model: ir.Model, opset: int) -> ir.Model:
    """Returns the graph in opset 17 or below; it may be changed in place.

    Means over height and width become GlobalAveragePool, for ReduceMean took its axes as an
    attribute then. Most other operators of a CNN are the same; where one is not, the graph is
    converted as a user's file is.

    Raises:
        ArtifactError: an operator needs the newer opset; it is named.
    """
    ir_module = require("onnx_ir", extra="cpu")
    graph = model.graph
    for node in tuple(graph):
        if is_spatial_mean(node):
            _to_global_pool(ir_module, graph, node)
    newer = ir_module.serde.serialize_model(model)
    for node in graph:
        if node.op_type == "Resize":
            # new in 18, written with the only values that 17 knows
            for name, default in (("keep_aspect_ratio_policy", "stretch"), ("antialias", 0)):
                if name in node.attributes and node.attributes[name].value == default:
                    del node.attributes[name]
    graph.opset_imports[""] = opset
    if _fault(model) is None:
        return model
    converted: ir.Model = ir_module.serde.deserialize_model(
        convert_opset(newer, opset, Path("the exported graph"))
    )
    for node in converted.graph:
        # what an operator is written out as has no names
        node.name = node.name or node.outputs[0].name
    if (fault := _fault(converted)) is not None:
        raise ArtifactError(
            f"the graph cannot be written in opset {opset}, which the target needs: {fault}",
            hint="export to ONNX yourself, with that operator written out, and pass the .onnx file",
        )
    return converted


def _fault(model: ir.Model) -> str | None:
    """What ONNX's checker finds in a graph; None: nothing."""
    onnx, ir_module = require("onnx", extra="cpu"), require("onnx_ir", extra="cpu")
    try:
        onnx.checker.check_model(ir_module.serde.serialize_model(model), full_check=True)
    except Exception as error:
        return first_line(error)
    return None


def _to_global_pool(ir_module: Any, graph: ir.Graph, node: ir.Node) -> None:
    """Replaces a mean over height and width, with a Reshape behind it where it drops the axes."""
    output, name = node.outputs[0], str(node.name)
    keeps = "keepdims" not in node.attributes or bool(node.attributes["keepdims"].as_int())
    pool = ir_module.node("GlobalAveragePool", [node.inputs[0]], name=name)
    pool.metadata_props.update(node.metadata_props)
    last = pool
    made = [pool]
    if not keeps:
        pool.outputs[0].name = f"{name}:pooled"
        shape = add_initializer(graph, f"{name}:shape", np.array([0, -1], np.int64))
        last = ir_module.node("Reshape", [pool.outputs[0], shape], name=f"{name}:reshape")
        last.metadata_props.update(node.metadata_props)
        made.append(last)
    result = last.outputs[0]
    result.name, result.shape, result.type = output.name, output.shape, output.type
    ir_module.convenience.replace_nodes_and_values(
        graph, node, [node], made, [output], last.outputs
    )
