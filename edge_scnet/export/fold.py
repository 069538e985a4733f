"""Folds what a graph computes of constants and of shapes, whatever its size.

ONNX Runtime runs the constant part of the graph, so that the results are the ones that the user's
file gives. onnxscript's optimizer, which follows, leaves out what is large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.graph.model import add_initializer, drop_unused, free_name
from edge_scnet.graph.run import ort_session

if TYPE_CHECKING:
    import onnx_ir as ir

# Their results are others at every run, constant inputs or not.
RANDOM_OPS = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    }
)
# Operators that onnx has no inference of shapes for in every opset.
_SHAPED_LIKE_INPUT = frozenset(
    {
        "BatchNormalization",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "MeanVarianceNormalization",
        "RMSNormalization",
    }
)
_MOST_ROUNDS = 100
# A constant larger than 1 GB is left to the runtime.
_MOST_BYTES = 1_000_000_000
_MOST_ITEM_BYTES = 8


def fold(model: ir.Model) -> None:
    """Folds constants, shapes and branches whose condition is known, in place.

    What is known of shapes is written into the graph.

    Args:
        model: its inputs have their sizes, and no shapes of tensors inside are stated.
    """
    passes = require("onnx_ir.passes.common", extra="cpu")
    passes.InlinePass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for _ in range(_MOST_ROUNDS):
        infer(model)
        changed = _fold_shapes(model.graph)
        changed |= _fold_constants(model)
        changed |= _inline_branches(model)
        if not changed:
            break
    passes.RemoveUnusedNodesPass()(model)
    drop_unused(model.graph)


def infer(model: ir.Model) -> None:
    """Writes the shapes and types that follow from the inputs' into the graph; no others are left.

    Where a node contradicts them the rest stays unknown: strict inference, later, names it.
    """
    ir_module = require("onnx_ir", extra="cpu")
    for node in ir_module.traversal.RecursiveGraphIterator(model.graph):
        for value in node.outputs:
            value.shape = None
    _infer_once(model)
    while sum(_like_its_input(node) for node in model.graph):
        _infer_once(model)


def _infer_once(model: ir.Model) -> None:
    onnx = require("onnx", extra="cpu")
    api = require("onnx_ir.passes.common._c_api_utils", extra="cpu")

    def run(proto: Any) -> Any:
        return onnx.shape_inference.infer_shapes(proto, strict_mode=False, data_prop=True)

    ir_module = require("onnx_ir", extra="cpu")
    convenience = ir_module.convenience
    inferred = ir_module.serde.deserialize_model(api.call_onnx_api(run, model))
    found = convenience.create_value_mapping(inferred.graph)
    for name, value in convenience.create_value_mapping(model.graph).items():
        other = found.get(name)
        if other is None or value.is_initializer():
            continue
        if other.shape is not None:
            value.shape = other.shape
        if other.type is not None:
            value.type = other.type


def check_consistent(model: ir.Model, path: Path) -> None:
    """Raises ArtifactError with the node whose inputs contradict each other.

    Only a graph with an output of unknown size is looked at.
    """
    if all(value.shape is not None for value in model.graph.outputs):
        return
    onnx = require("onnx", extra="cpu")
    api = require("onnx_ir.passes.common._c_api_utils", extra="cpu")
    try:
        api.call_onnx_api(
            lambda proto: onnx.shape_inference.infer_shapes(proto, strict_mode=True), model
        )
    except Exception as error:
        raise ArtifactError(
            f"{path} contradicts itself: {first_line(error)}", hint="export the model again"
        ) from error


def _like_its_input(node: ir.Node) -> bool:
    """Gives the result of a normalisation, where onnx infers none, its input's shape."""
    if node.op_type not in _SHAPED_LIKE_INPUT or node.domain not in ("", "ai.onnx"):
        return False
    data, result = node.inputs[0], node.outputs[0]
    if data is None or sizes_of(data) is None or sizes_of(result) is not None:
        return False
    result.shape, result.type = data.shape, data.type
    return True


def is_constant(value: ir.Value | None) -> bool:
    """Tells whether a tensor is stored; one that is left out is too."""
    return value is None or (value.is_initializer() and value.const_value is not None)


def sizes_of(value: ir.Value | None) -> tuple[int, ...] | None:
    """Returns a tensor's shape; None where it is not wholly known."""
    if value is None or value.shape is None:
        return None
    sizes = tuple(size for size in value.shape if isinstance(size, int))
    return sizes if len(sizes) == len(value.shape) else None


def _fold_shapes(graph: ir.Graph) -> bool:
    """Replaces Shape and Size of tensors whose shape is known; tells whether there were any."""
    changed = False
    for node in tuple(graph):
        if node.op_type not in ("Shape", "Size") or node.domain not in ("", "ai.onnx"):
            continue
        sizes = sizes_of(node.inputs[0])
        if sizes is None:
            continue
        if node.op_type == "Size":
            result = np.array(math.prod(sizes), np.int64)
        else:
            start, end = node.attributes.get("start"), node.attributes.get("end")
            first = start.as_int() if start is not None else 0
            last = end.as_int() if end is not None else len(sizes)
            result = np.array(sizes[slice(first, last)], np.int64)
        _replace(graph, node, [result])
        changed = True
    return changed


def _fold_constants(model: ir.Model) -> bool:
    """Runs the nodes that read constants alone; tells whether there were any."""
    found: list[ir.Node] = []
    known: set[int] = set()
    for node in model.graph:
        if _can_be_run(node) and all(is_constant(v) or id(v) in known for v in node.inputs):
            found.append(node)
            known.update(id(value) for value in node.outputs)
    if not found:
        return False
    inside = {id(node) for node in found}
    edge = [
        str(value.name)
        for node in found
        for value in node.outputs
        if value.is_graph_output() or any(id(use.node) not in inside for use in value.uses())
    ]
    try:
        results = _run(model, found, edge)
    except Exception:  # ONNX Runtime's errors have no base of their own
        found = [node for node in found if all(is_constant(value) for value in node.inputs)]
        results = {}
        for node in found:
            results |= _run_alone(model, node)
        found = [node for node in found if str(node.outputs[0].name) in results]
    # from behind: what only they read is left without a reader
    for node in reversed(found):
        _replace(model.graph, node, [results.get(str(value.name)) for value in node.outputs])
    return bool(found)


def _can_be_run(node: ir.Node) -> bool:
    """Whether a node gives the same tensors at every run, and none that is too large."""
    if node.domain not in ("", "ai.onnx") or node.op_type in RANDOM_OPS or not node.inputs:
        return False
    if node.op_type == "Identity" and node.outputs[0].is_graph_output():
        return False  # the node of a constant output, which stays
    if any(value.is_graph_input() for value in node.inputs if value is not None):
        return False
    ir_module = require("onnx_ir", extra="cpu")
    graphs = (ir_module.AttributeType.GRAPH, ir_module.AttributeType.GRAPHS)
    if any(attribute.type in graphs for attribute in node.attributes.values()):
        return False
    for value in node.outputs:
        if value.type is not None and not isinstance(value.type, ir_module.TensorType):
            return False
        sizes = sizes_of(value)
        if sizes is not None and math.prod(sizes) * _MOST_ITEM_BYTES > _MOST_BYTES:
            return False
    return True


def _run_alone(model: ir.Model, node: ir.Node) -> dict[str, np.ndarray]:
    """The results of one node; none where ONNX Runtime cannot run it."""
    try:
        return _run(model, [node], [str(value.name) for value in node.outputs if value.name])
    except Exception:
        return {}


def _run(model: ir.Model, nodes: Sequence[ir.Node], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Runs nodes that follow from constants, and returns the named tensors."""
    onnx = require("onnx", extra="cpu")
    ort = require("onnxruntime", extra="cpu")
    serde = require("onnx_ir", extra="cpu").serde
    stored = {str(v.name): v for node in nodes for v in node.inputs if v is not None}
    tensors = []
    for name, value in stored.items():
        if value.is_initializer() and value.const_value is not None:
            tensor = serde.serialize_tensor(value.const_value)
            tensor.name = name
            tensors.append(tensor)
    graph = onnx.helper.make_graph(
        [serde.serialize_node(node) for node in nodes],
        "constants",
        [],
        [onnx.ValueInfoProto(name=name) for name in names],
        tensors,
    )
    imports = [onnx.helper.make_opsetid(d, v) for d, v in model.opset_imports.items()]
    proto = onnx.helper.make_model(graph, opset_imports=imports, ir_version=model.ir_version)
    results = ort_session(ort, serde.deserialize_model(proto)).run(list(names), {})
    return dict(zip(names, results, strict=True))


def _replace(graph: ir.Graph, node: ir.Node, results: Sequence[np.ndarray | None]) -> None:
    """Puts constants in a node's place; an output of the graph gets an Identity behind its own."""
    ir_module = require("onnx_ir", extra="cpu")
    for value, result in zip(node.outputs, results, strict=True):
        if result is None:
            continue
        name = str(value.name)
        value.name = f"{name}:was"
        if not value.is_graph_output():
            constant = add_initializer(graph, name, result)
        else:
            stored = add_initializer(graph, free_name(graph, f"{name}:constant"), result)
            identity = ir_module.node("Identity", [stored], name=node.name)
            graph.insert_before(node, identity)
            constant = identity.outputs[0]
            constant.name, constant.shape, constant.type = name, stored.shape, stored.type
        ir_module.convenience.replace_all_uses_with(value, constant, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _inline_branches(model: ir.Model) -> bool:
    """Puts the branch that is taken in the place of each If whose condition is a constant."""
    changed = False
    for node in tuple(model.graph):
        condition = node.inputs[0] if node.op_type == "If" else None
        if condition is not None and is_constant(condition):
            assert condition.const_value is not None
            taken = "then_branch" if condition.const_value.numpy().all() else "else_branch"
            _inline(model.graph, node, node.attributes[taken].as_graph())
            changed = True
    return changed


def _inline(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    """Puts a branch in its node's place, under names that no other tensor has."""
    ir_module = require("onnx_ir", extra="cpu")
    given, moved = list(branch.outputs), list(branch)
    branch.outputs.clear()
    for initializer in list(branch.initializers.values()):
        del branch.initializers[str(initializer.name)]
        initializer.name = free_name(graph, f"{node.name or 'If'}/{initializer.name}")
        graph.register_initializer(initializer)
    branch.remove(moved)
    for inner in moved:
        for value in inner.outputs:
            if value.name:
                value.name = free_name(graph, f"{node.name or 'If'}/{value.name}")
        graph.insert_before(node, inner)
    for value, result in zip(node.outputs, given, strict=True):
        name = value.name
        identity = ir_module.node("Identity", [result], name=node.name)
        graph.insert_before(node, identity)
        value.name = f"{name}:was"
        last = identity.outputs[0]
        last.name, last.shape, last.type = name, result.shape, result.type
        ir_module.convenience.replace_all_uses_with(value, last, replace_graph_outputs=True)
    graph.remove(node, safe=True)
