"""Refuses graphs that compute shapes at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.names import module_of

if TYPE_CHECKING:
    import onnx_ir as ir

# Always shape arithmetic, and shape arithmetic where their sizes are computed: a Slice of data by
# constants is neither, nor is a Gather, whose output is as large as its indices.
_SHAPE_OPS = frozenset({"Shape", "NonZero", "Size", "Range", "ConstantOfShape"})
_SIZED_OPS = frozenset({"Slice", "Expand"})
# The batch entry of Resize's sizes is the only thing a dynamic graph may compute: Shape -> Concat
# -> Resize.
_DYNAMIC_BATCH_OPS = frozenset({"Shape"})
_SIZES = 3  # Resize's input


def check_static(model: ir.Model, *, dynamic_batch: bool) -> None:
    """Raises ArtifactError with the first node of shape arithmetic.

    OpenVINO engines with dynamic shapes are 1.5 to 2 times slower, TensorRT's fail later.

    Args:
        dynamic_batch: the graph may compute its batch.
    """
    ir_module = require("onnx_ir", extra="export")
    for node in ir_module.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type not in _SHAPE_OPS and not (
            node.op_type in _SIZED_OPS and _sizes_are_computed(node)
        ):
            continue
        if dynamic_batch and node.op_type in _DYNAMIC_BATCH_OPS and _only_feeds_resize_sizes(node):
            continue
        raise ArtifactError(
            f"the exported graph computes shapes at run time: {node.op_type} at {module_of(node)}",
            hint=(
                "give the module static sizes (F.interpolate to x.shape[2:], not to a tensor), or"
                " simplify the ONNX file"
            ),
        )


def _sizes_are_computed(node: ir.Node) -> bool:
    return any(value is not None and not _is_stored(value) for value in node.inputs[1:])


def _is_stored(value: ir.Value) -> bool:
    # not `pairs.is_constant`: the exporter knows values of tensors that are computed all the same
    producer = value.producer()
    return value.is_initializer() or (producer is not None and producer.op_type == "Constant")


def _only_feeds_resize_sizes(node: ir.Node) -> bool:
    pending = list(node.outputs[0].uses())
    while pending:
        use = pending.pop()
        if use.node.op_type == "Concat":
            pending += use.node.outputs[0].uses()
        elif not (use.node.op_type == "Resize" and use.idx == _SIZES):
            return False
    return True
