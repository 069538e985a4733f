"""Refuses graphs that compute shapes at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.counting import COUNTING_OPS, origins_of
from edge_scnet.graph.names import module_of

if TYPE_CHECKING:
    import onnx_ir as ir

# Shape arithmetic, which is folded wherever the tensor's shape is known.
_SHAPE_OPS = frozenset({"Shape", "Size"})
# The inputs that decide the sizes of the result, by operator.
_SIZE_INPUTS: dict[str, tuple[int, ...]] = {
    "CenterCropPad": (1,),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
# The batch entry of Resize's sizes is the only thing a dynamic graph may compute: Shape -> Concat
# -> Resize.
_DYNAMIC_BATCH_OPS = frozenset({"Shape", "Resize"})
_SIZES = 3  # Resize's input


def check_static(model: ir.Model, *, dynamic_batch: bool, may_count: bool = False) -> None:
    """Raises ArtifactError with the first node whose result's size depends on values.

    OpenVINO engines with dynamic shapes are 1.5 to 2 times slower, TensorRT's fail later.

    Args:
        dynamic_batch: the graph may compute its batch.
        may_count: nodes that count may be on the way to an output, with what is behind them.
    """
    ir_module = require("onnx_ir", extra="cpu")
    counted = origins_of(model.graph) if may_count else {}
    for node in ir_module.traversal.RecursiveGraphIterator(model.graph):
        why = _why_dynamic(node)
        if why is None:
            continue
        if node.op_type != "If" and any(id(value) in counted for value in node.outputs):
            continue
        if dynamic_batch and node.op_type in _DYNAMIC_BATCH_OPS and _only_computes_batch(node):
            continue
        raise ArtifactError(
            f"the exported graph computes shapes at run time: {node.op_type} at {module_of(node)}:"
            f" {why}",
            hint=(
                "give the module static sizes (F.interpolate to x.shape[2:], not to a tensor; a"
                " mask, not a list of indices), or pass the part in front of this node:"
                " onnx.utils.extract_model"
            ),
        )


def _why_dynamic(node: ir.Node) -> str | None:
    """Why the size of a node's result is not known before it runs; None: it is known."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in COUNTING_OPS and node.op_type != "NonMaxSuppression":
        return COUNTING_OPS[node.op_type]  # runtimes know what NonMaxSuppression gives
    if node.op_type in _SHAPE_OPS:
        return "the shape of its input is not known"
    for index in _SIZE_INPUTS.get(node.op_type, ()):
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is None or _is_stored(value):
            continue
        producer = value.producer()
        source = "an input" if producer is None else f"{producer.op_type} at {module_of(producer)}"
        return f"its size is computed by {source}"
    if node.op_type == "If" and node.inputs[0] is not None and not _is_stored(node.inputs[0]):
        return "its branch is chosen by a value that is computed"
    return None


def _is_stored(value: ir.Value) -> bool:
    # not `pairs.is_constant`: the exporter knows values of tensors that are computed all the same
    producer = value.producer()
    return value.is_initializer() or (producer is not None and producer.op_type == "Constant")


def _only_computes_batch(node: ir.Node) -> bool:
    """Whether all that a Shape or Resize computes of sizes is the batch in a Resize's sizes."""
    if node.op_type == "Shape":
        return _only_feeds_resize_sizes(node)
    sizes = node.inputs[_SIZES] if len(node.inputs) > _SIZES else None
    scales = node.inputs[2]
    joined = None if sizes is None else sizes.producer()
    return (
        (scales is None or _is_stored(scales))
        and joined is not None
        and joined.op_type == "Concat"
        and all(value is not None and _is_batch(value) for value in joined.inputs)
    )


def _is_batch(value: ir.Value) -> bool:
    producer = value.producer()
    return _is_stored(value) or (producer is not None and producer.op_type == "Shape")


def _only_feeds_resize_sizes(node: ir.Node) -> bool:
    pending = list(node.outputs[0].uses())
    while pending:
        use = pending.pop()
        if use.node.op_type == "Concat":
            pending += use.node.outputs[0].uses()
        elif not (use.node.op_type == "Resize" and use.idx == _SIZES):
            return False
    return True
