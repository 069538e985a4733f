"""Rules of layers with weights: both sides quantized, usable axes and codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_scnet.graph.lint.finding import (
    KEEPS_CODES,
    LintFinding,
    LintOptions,
    Scheme,
    error,
    warning,
)
from edge_scnet.graph.operators import output_axis, producer_type
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    behind_moves,
    codes_type,
    has_codes,
    input_of,
    integer,
    is_constant,
    is_per_channel,
    is_weight,
    label,
    largest_code,
    quantizer,
    types_of_codes,
    weight_shape,
)

if TYPE_CHECKING:
    import onnx_ir as ir

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_EIGHT_BITS = frozenset({"INT8", "UINT8"})
# By whether (the input, the weights) are quantized: the rule, and the problem.
_ONE_SIDE = {
    (False, False): ("float", "neither input nor weights are quantized"),
    (True, False): ("half-quantized", "its input is quantized, its weights are not"),
    (False, True): ("half-quantized", "its weights are quantized, its input is not"),
}


def layers(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks that layers with constant weights are quantized on both sides.

    With one side they lose accuracy and gain no time. A head that is wholly in float is left alone:
    it costs little, and its noise is the logits' own.
    """
    for node in model.graph:
        weight = input_of(node, 1)
        if node.op_type not in _LAYERS or weight is None or is_constant(node.inputs[0]):
            continue
        source = behind_moves(weight)
        has_quantized_weights = producer_type(source) == DEQUANTIZE
        if not (has_quantized_weights or is_constant(source)):
            continue  # its weights are computed
        sides = has_codes(node.inputs[0], options.keeps_codes), has_quantized_weights
        is_head = (
            sides == (False, False)
            and node.op_type in ("Gemm", "MatMul")
            and node.outputs[0].is_graph_output()
        )
        if sides != (True, True) and not is_head and not options.is_kept_float(node):
            rule, problem = _ONE_SIDE[sides]
            yield warning(
                rule,
                node,
                f"it runs in float: {problem}",
                "quantize input and weights, or name it in keep_float",
            )
        if producer_type(weight) == DEQUANTIZE:
            yield from _weights(node, weight, options)


def int8_layers(model: ir.Model, scheme: Scheme) -> tuple[str, ...]:
    """Returns the names of the layers that have 8-bit codes on their input and their weights."""
    return tuple(label(node) for node in model.graph if _is_int8(node, KEEPS_CODES[scheme]))


def _is_int8(node: ir.Node, keeps: frozenset[str]) -> bool:
    weight = input_of(node, 1)
    if node.op_type not in _LAYERS or weight is None:
        return False
    dequantize = behind_moves(weight).producer()
    if dequantize is None or dequantize.op_type != DEQUANTIZE or not is_weight(dequantize):
        return False
    types = types_of_codes(input_of(node, 0), keeps)
    return bool(types) and types | {codes_type(dequantize)} <= _EIGHT_BITS


def _weights(node: ir.Node, weight: ir.Value, options: LintOptions) -> Iterator[LintFinding]:
    """Checks the axis of the scales, and that the instruction set can multiply the codes.

    Where VNNI is missing, vpmaddubsw sums two products in 16 bits.
    """
    dequantize = weight.producer()
    assert dequantize is not None
    rank = len(weight_shape(dequantize))
    wanted = rank - 1 if node.op_type == "MatMul" else output_axis(node)
    for half in filter(None, (quantizer(dequantize), dequantize)):
        axis = integer(half, "axis", 1)
        if is_per_channel(half) and rank and axis % rank != wanted:
            yield error(
                "axis",
                half,
                f"scales along axis {axis} of the weights of {label(node)}",
                f"axis {wanted}, its output channels",
            )
    if options.weight_bits is None:
        return
    limit = 2 ** (options.weight_bits - 1)
    if (largest := largest_code(dequantize)) > limit:
        yield error(
            "weight-bits",
            node,
            f"a weight's code is {largest}: products saturate silently where VNNI is missing",
            f"weights of {options.weight_bits} bits, codes from -{limit} to {limit} (reduce_range"
            " in ONNX Runtime)",
        )
