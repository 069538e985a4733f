"""How OpenVINO's low-precision transformations (LPT) see a Q/DQ graph.

What they look past, and which Q belongs to what. By OpenVINO's source,
src/common/low_precision_transformations, 2025.0 to 2026.4.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_scnet.graph.operators import producer_type
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    QUANTIZE,
    codes_type,
    constant,
    dequantizers,
    input_of,
    is_constant,
    is_weight,
    quantizer,
)

if TYPE_CHECKING:
    import onnx_ir as ir

# What LPT calls precision preserved (markup_precisions.cpp), by the names of ONNX; AveragePool is
# where no Q follows.
PRESERVING = frozenset(
    {
        "AveragePool",
        "Concat",
        "DepthToSpace",
        "Flatten",
        "Gather",
        "GlobalMaxPool",
        "MaxPool",
        "Pad",
        "ReduceMax",
        "ReduceMin",
        "Relu",
        "Reshape",
        "Resize",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "Upsample",
    }
)
GONE = frozenset({"Identity", "Dropout"})  # removed before LPT sees the graph
SCALING = frozenset({"Mul", "Div"})  # by a constant: becomes part of the dequantize
# with a constant: becomes part of a Q behind it
AFFINE = SCALING | {"Add", "Sub", "BatchNormalization"}


def joins(node: ir.Node) -> bool:
    """Tells whether it is a Concat at run time: of one tensor, or of constants, it is folded."""
    return (
        node.op_type == "Concat"
        and len(node.inputs) > 1
        and not all(is_constant(value) for value in node.inputs)
    )


def is_int8(node: ir.Node) -> bool:
    """Tells whether a layer's weights are quantized; else its input may be anything."""
    return producer_type(input_of(node, 1)) == DEQUANTIZE


def needs_unsigned(node: ir.Node) -> bool:
    """Tells whether it is a convolution whose input LPT makes uint8 on most CPUs."""
    return node.op_type == "Conv" and is_int8(node)


def leading_to(model: ir.Model, wanted: Callable[[ir.Node], bool]) -> set[ir.Node]:
    """Returns the wanted nodes, and those that lead to one past what keeps the precision."""
    leading: set[ir.Node] = set()
    for node in reversed(model.graph):
        passes = node.op_type in PRESERVING or node.op_type in GONE
        if wanted(node) or (
            passes and any(use.node in leading for out in node.outputs for use in out.uses())
        ):
            leading.add(node)
    return leading


def quantizer_of(value: ir.Value | None) -> ir.Node | None:
    """Returns the Q of the pair that gives this tensor.

    Constant factors may lie between: they become part of the dequantize.
    """
    producer = value.producer() if value is not None else None
    if producer is None:
        return None
    if producer.op_type == DEQUANTIZE:
        return None if is_weight(producer) else quantizer(producer)
    if producer.op_type in GONE or (producer.op_type in SCALING and has_constant(producer)):
        return next(filter(None, (quantizer_of(source) for source in producer.inputs)), None)
    return None


def has_constant(node: ir.Node) -> bool:
    """Tells whether one of the inputs is a constant."""
    return any(is_constant(value) for value in node.inputs)


def read_by(quantize: ir.Node, nodes: set[ir.Node]) -> bool:
    """Tells whether one of the nodes reads the pair's result, past constant factors.

    To OpenVINO equal pairs on a tensor are one.
    """
    waiting = [pair for copy in copies(quantize) for pair in dequantizers(copy)]
    while waiting:
        for use in waiting.pop().outputs[0].uses():
            if use.node in nodes:
                return True
            if use.node.op_type in SCALING and has_constant(use.node):
                waiting.append(use.node)
    return False


def copies(quantize: ir.Node) -> list[ir.Node]:
    """Returns the Q on the same tensor with the same parameters, itself included.

    Some tools write one for every reader.
    """
    uses = [] if quantize.inputs[0] is None else quantize.inputs[0].uses()
    key = _parameters(quantize)
    return [
        use.node for use in uses if use.node.op_type == QUANTIZE and _parameters(use.node) == key
    ]


def _parameters(quantize: ir.Node) -> tuple[str, list[float], list[int]]:
    scale, zero = constant(input_of(quantize, 1)), constant(input_of(quantize, 2))
    return (
        codes_type(quantize),
        [] if scale is None else scale.tolist(),
        [] if zero is None else zero.tolist(),
    )


def pads_with_zeros(node: ir.Node) -> bool:
    """Tells whether a Pad fills with zeros."""
    mode, value = node.attributes.get("mode"), input_of(node, 2)
    filling = constant(value)
    return (mode is None or mode.as_string() == "constant") and (
        value is None or (filling is not None and not filling.any())
    )
