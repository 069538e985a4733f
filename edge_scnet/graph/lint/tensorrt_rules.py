"""Rules of TensorRT: the form of a pair, and where pairs must lie for its fusions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.lint.finding import LintFinding, LintOptions, error, warning
from edge_scnet.graph.operators import producer_type
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    codes_type,
    constant,
    has_codes,
    input_of,
    is_constant,
    is_qoperator,
    pairs,
    quantizer,
    reader_of,
)
from edge_scnet.graph.tensorrt_operators import unknown_operators

if TYPE_CHECKING:
    import onnx_ir as ir

# The way out where TensorRT lacks an operator.
WITHOUT_OPERATOR = (
    "cut the graph in front of it and compute the rest behind the engine, or build for the CPU:"
    " --target cpu"
)
_TENSORRT_8_OPSET = 17  # the last that TensorRT 8.5 and 8.6 read


def tensorrt_operators(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks that the parser knows every operator; forms like QLinearConv have another rule."""
    for node, problem in unknown_operators(
        model, tensorrt_8=_is_tensorrt_8(options), rtx=options.rtx
    ):
        if not is_qoperator(node):
            yield error("operator", node, problem, WITHOUT_OPERATOR)


def _is_tensorrt_8(options: LintOptions) -> bool:
    return options.max_opset is not None and options.max_opset <= _TENSORRT_8_OPSET


def tensorrt_pairs(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks the form of each pair: symmetric INT8 with its zero point written, float biases.

    TensorRT 8 wants weights as float -> Q -> DQ, and 8.5 needs the third input: without it ONNX
    means uint8 and TensorRT int8. UINT8 is read as INT8 with a warning, or refused; an INT32 bias
    behind a DequantizeLinear is refused by every version (quantize_static writes it by default).
    """
    is_tensorrt_8 = _is_tensorrt_8(options)
    for node in pairs(model):
        kind, zero = codes_type(node), constant(input_of(node, 2))
        if kind == "INT32":
            yield error(
                "int32-bias",
                reader_of(node),
                "its bias is INT32 behind a DequantizeLinear, which TensorRT refuses",
                "leave the bias in float (QuantizeBias=False)",
            )
        elif input_of(node, 2) is None:
            yield error(
                "zero-point",
                node,
                "it has no zero point: uint8 to ONNX, int8 to TensorRT",
                "an int8 zero point of 0",
            )
        elif kind != "INT8":
            yield error(
                "type", node, f"TensorRT takes INT8 only, this is {kind}", "symmetric int8 codes"
            )
        if zero is not None and np.any(zero):
            yield error(
                "zero-point",
                node,
                f"the zero point is {zero.reshape(-1)[0]}",
                "symmetric codes: zero point 0",
            )
        has_int8_weights = (
            node.op_type == DEQUANTIZE and kind == "INT8" and is_constant(node.inputs[0])
        )
        if is_tensorrt_8 and has_int8_weights:
            yield error(
                "weight-form", node, "TensorRT 8 reads no INT8 weights", "float weights -> Q -> DQ"
            )


def tensorrt_places(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks that average pools have Q/DQ, and that of a residual Add only the skip side has.

    An average pool without Q/DQ is an island of float. A convolution fuses with the Add behind it
    only where its own output is not quantized first.
    """
    keeps = options.keeps_codes
    for node in model.graph:
        if node.op_type in ("AveragePool", "GlobalAveragePool") and not has_codes(
            node.inputs[0], keeps
        ):
            if not options.is_kept_float(node):
                yield warning(
                    "float-pool", node, "it runs in float between copies", "Q/DQ on its input"
                )
        elif node.op_type == "Add" and _quantizes_both(node, keeps):
            yield warning(
                "residual",
                node,
                "both inputs are quantized: no convolution fuses with it",
                "Q/DQ on the skip side only",
            )


def _quantizes_both(add: ir.Node, keeps: frozenset[str]) -> bool:
    return all(has_codes(value, keeps) for value in add.inputs) and any(
        _is_convolution_output(value) for value in add.inputs
    )


def _is_convolution_output(value: ir.Value | None) -> bool:
    dequantize = value.producer() if value is not None else None
    source = quantizer(dequantize) if dequantize is not None else None
    return source is not None and producer_type(source.inputs[0]) == "Conv"
