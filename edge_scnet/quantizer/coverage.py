"""Which layers execute in INT8, and why the others stay in float."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_scnet.core.facts import FloatLayer
from edge_scnet.core.optional import require
from edge_scnet.graph.model import batch_of
from edge_scnet.graph.names import module_of
from edge_scnet.graph.operators import LINEAR_OPS, integer_of, result_of, weight_of
from edge_scnet.graph.work import RECURRENT_OPS, multiply_adds

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

# A classifier this small stays in float: on scnet20 it takes 640 of 31 M multiply-adds, and its
# input's rounding alone was 12 % of the noise at the logits. With more weights reading them costs
# time (2,048 x 1,000: 6 MB less in INT8).
_SMALL_HEAD_WEIGHTS = 1 << 16

COMPUTED = "its weights are computed"
RECURRENT = "recurrent"
KEPT = "kept by keep_float"
SMALL_HEAD = "small head"
STACKED = "its weights are no plain matrix on the right"
INSIDE = "in a graph of its own inside the node"
OTHER_TYPE = "it does not read float32"
TRANSPOSED = "the runtime computes a transposed convolution in float"
GROUPED_3D = "the runtime computes a padded 3-D convolution of few channels a group wrongly"
GROUPED = "the runtime computes a grouped transposed convolution in float"
OUTPUT = "its result is an output of the graph, which the runtime would round to 8 bits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a graph's multiply-adds is in INT8; of one image."""

    multiply_adds: int
    int8_multiply_adds: int
    # The greatest first.
    float_layers: tuple[FloatLayer, ...]


def coverage_of(model: ir.Model, int8_nodes: Collection[str], scheme: QuantScheme) -> Coverage:
    """Returns what share of a float graph's work is in INT8, and why the rest is not.

    Args:
        int8_nodes: the names of the layers that are.
    """
    work = multiply_adds(model)
    rest = [
        FloatLayer(
            node=str(node.name),
            operator=node.op_type,
            reason=float_reason(node, model, scheme) or KEPT,
            multiply_adds=work[str(node.name)],
        )
        for node in model.graph
        if str(node.name) in work and str(node.name) not in int8_nodes
    ]
    total = sum(work.values())
    return Coverage(
        multiply_adds=total,
        int8_multiply_adds=total - sum(layer.multiply_adds for layer in rest),
        float_layers=tuple(sorted(rest, key=lambda layer: -layer.multiply_adds)),
    )


def float_reason(node: ir.Node, model: ir.Model, scheme: QuantScheme) -> str | None:
    """Returns why a node that multiplies stays in float; None where it is to execute in INT8.

    Args:
        model: the graph it is of.
    """
    if node.op_type in RECURRENT_OPS:
        return RECURRENT
    if any(attribute.type.name == "GRAPH" for attribute in node.attributes.values()):
        return INSIDE
    weights = weight_of(node)
    if weights is None:
        stored = [
            value for value in node.inputs[:2] if value is not None and value.is_initializer()
        ]
        return STACKED if stored and node.op_type in LINEAR_OPS else COMPUTED
    floating = require("onnx_ir", extra="quantize").DataType.FLOAT
    if node.inputs[0] is None or node.inputs[0].dtype != floating:
        return OTHER_TYPE
    if any(fnmatch.fnmatchcase(n, p) for n in names_of(node) for p in scheme.keep_float):
        return KEPT
    if node.op_type == "ConvTranspose" and (reason := _transposed_reason(node, scheme)):
        return reason
    if scheme.placement == "openvino" and _is_wrong_in_3d(node, weights.shape):
        return GROUPED_3D
    of_onnxruntime = scheme.placement == "onnxruntime"
    if of_onnxruntime and node.op_type == "Conv" and result_of(node).is_graph_output():
        return OUTPUT
    if weights.size <= _SMALL_HEAD_WEIGHTS and _is_head(node, batch_of(model)):
        return SMALL_HEAD
    return None


def _transposed_reason(node: ir.Node, scheme: QuantScheme) -> str | None:
    """Why a transposed convolution gains nothing in INT8; None where it does.

    Measured with scales for each channel, of either axis, and with one for all: TensorRT-RTX 1.7.1
    computes none from codes, and OpenVINO 2026.4.1 those without groups (AVX2). ONNX Runtime
    1.32.0 has no integer form of it.
    """
    if scheme.placement in ("tensorrt", "onnxruntime"):
        return TRANSPOSED
    return GROUPED if integer_of(node, "group", 1) != 1 else None


def _is_wrong_in_3d(node: ir.Node, shape: tuple[int, ...]) -> bool:
    """Whether OpenVINO 2026.4.1 forgets the zero point in the padding (AVX2: -2 to 12 dB are left).

    Its kernel for 3-D convolutions whose groups hold a number of channels that is no multiple of
    eight does; depthwise ones have another kernel.
    """
    group = integer_of(node, "group", 1)
    if node.op_type != "Conv" or len(shape) != 5 or group == 1:
        return False
    depthwise = shape[:2] == (group, 1)
    return not depthwise and (shape[1] % 8 != 0 or shape[0] // group % 8 != 0)


def _is_head(node: ir.Node, batch: int) -> bool:
    """Whether a linear layer gives an output of the graph from one row an image."""
    if node.op_type not in LINEAR_OPS:
        return False
    output = node.outputs[0]
    uses = tuple(output.uses())
    if not output.is_graph_output() and len(uses) == 1 and uses[0].node.op_type == "Add":
        # the bias of a MatMul
        other = uses[0].node.inputs[1 - uses[0].idx]
        if other is not None and other.is_initializer():
            output = uses[0].node.outputs[0]
    shape = node.outputs[0].shape
    rows = 1 if shape is None else next(iter(shape), 1) if len(shape) == 2 else 0
    return output.is_graph_output() and (shape is None or rows == batch)


def names_of(node: ir.Node) -> set[str]:
    """Returns the names that a pattern of `keep_float` may match: the node's, and its module's.

    A module used twice has nodes "fc" and "fc#2".
    """
    name = node.name or ""
    return {name, name.partition("#")[0], module_of(node)}
