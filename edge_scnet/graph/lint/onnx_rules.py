"""Rules that ONNX and both runtimes set: the opset, complete pairs, usable scales."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.lint.finding import LintFinding, LintOptions, error
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    DYNAMIC,
    QUANTIZE,
    codes_type,
    constant,
    input_of,
    integer,
    is_constant,
    is_per_channel,
    is_qoperator,
    is_weight,
    label,
    pairs,
    quantizer,
    weight_shape,
)

if TYPE_CHECKING:
    import onnx_ir as ir

# The oldest opset that has them: per-channel scales; FP16 scales and FP8; 16 and 4 bits and blocks
# (ONNX's operator changelog).
_PER_CHANNEL_OPSET, _HALF_OPSET, _WIDE_OPSET = 13, 19, 21
_FIRST_OPSET = 10  # of Q/DQ


def opset(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks that the opset has the graph's kinds of Q/DQ, and that the runtime reads it."""
    present = model.opset_imports.get("", 0)
    needed = [
        (_needed_opset(node), node) for node in pairs(model) if node.domain in ("", "ai.onnx")
    ]
    least, node = max(needed, key=lambda item: item[0], default=(0, None))
    if node is not None and least > present:
        yield error(
            "opset",
            node,
            f"it needs opset {least}, the graph has {present}",
            f"export with opset {least} or newer",
        )
    first = next(iter(model.graph), None)
    if first is not None and options.max_opset is not None and present > options.max_opset:
        yield error(
            "opset",
            first,
            f"the graph has opset {present}, the runtime reads up to {options.max_opset}",
            f"export with opset {options.max_opset}, or convert (onnx.version_converter)",
        )


def _needed_opset(node: ir.Node) -> int:
    scale, kind = input_of(node, 1), codes_type(node)
    if (
        integer(node, "block_size", 0)
        or kind in ("INT16", "UINT16", "INT4", "UINT4")
        or "output_dtype" in node.attributes
    ):
        return _WIDE_OPSET
    scale_type = None if scale is None or scale.dtype is None else scale.dtype.name
    if kind.startswith("FLOAT8") or scale_type not in (None, "FLOAT"):
        return _HALF_OPSET
    return _PER_CHANNEL_OPSET if is_per_channel(node) or "axis" in node.attributes else _FIRST_OPSET


def complete_pairs(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks that there are Q/DQ pairs only.

    Both runtimes fuse pairs, and neither reads QLinearConv and its like; those that have a form as
    pairs are written so as the file is read (`graph.qoperator`).
    """
    for node in model.graph:
        if node.op_type in DYNAMIC:
            yield error(
                "qoperator",
                node,
                f"{node.op_type} is dynamic quantization: scales are computed at run time",
                "quantize with calibration images: quantize_static with"
                " quant_format=QuantFormat.QDQ in ONNX Runtime",
            )
        elif is_qoperator(node):
            yield error(
                "qoperator",
                node,
                f"{node.op_type} is a QOperator form without one as Q/DQ pairs",
                "write the model with Q/DQ pairs (quant_format=QuantFormat.QDQ of ONNX Runtime)",
            )
        elif node.op_type == QUANTIZE and (readers := _other_readers(node)):
            yield error(
                "unpaired",
                node,
                f"its codes go to {readers}",
                "a DequantizeLinear directly behind it",
            )
        elif (
            node.op_type == DEQUANTIZE
            and quantizer(node) is None
            and not is_constant(node.inputs[0])
        ):
            yield error(
                "unpaired",
                node,
                "it reads neither a Q nor a constant",
                "a QuantizeLinear directly in front of it",
            )


def _other_readers(quantize: ir.Node) -> str:
    """Who reads the codes beside a DequantizeLinear, in words; "" where that is as it should be."""
    output = quantize.outputs[0]
    others = [label(use.node) for use in output.uses() if use.node.op_type != DEQUANTIZE]
    if others:
        return ", ".join(others)
    if output.is_graph_output():
        return "the graph's output"
    return "" if output.uses() else "nothing"


def parameters(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks that ONNX and both runtimes can use the scales and zero points."""
    for node in pairs(model):
        scale, zero = constant(input_of(node, 1)), constant(input_of(node, 2))
        if scale is None or (input_of(node, 2) is not None and zero is None):
            yield error(
                "constant",
                node,
                "scale or zero point is computed",
                "initializers: both are fixed at calibration",
            )
            continue
        yield from _scale_values(node, scale)
        if zero is not None and zero.shape != scale.shape:
            yield error(
                "shape",
                node,
                f"the scale's shape is {scale.shape}, the zero point's {zero.shape}",
                "one zero point for each scale",
            )
        elif scale.size > 1:
            yield from _per_channel_scales(node, scale)


def _scale_values(node: ir.Node, scale: np.ndarray) -> Iterator[LintFinding]:
    if not np.issubdtype(scale.dtype, np.floating) and scale.dtype.kind != "V":
        yield error("scale", node, f"the scale's type is {scale.dtype}", "a float scale")
        return
    values = scale.astype(np.float64)
    usable = np.isfinite(values) & (values > 0)
    if not usable.all():
        yield error(
            "scale",
            node,
            f"a scale is {values[~usable].reshape(-1)[0]:g}",
            "every scale above 0 and finite: was the tensor calibrated?",
        )


def _per_channel_scales(node: ir.Node, scale: np.ndarray) -> Iterator[LintFinding]:
    shape, axis = weight_shape(node), integer(node, "axis", 1)
    if not is_weight(node):
        yield error(
            "activation",
            node,
            f"an activation has {scale.size} scales",
            "one scale for an activation",
        )
    elif scale.ndim != 1 or integer(node, "block_size", 0):
        yield error(
            "shape",
            node,
            f"the scales have shape {scale.shape}",
            "one scale, or one for each output channel",
        )
    elif not -len(shape) <= axis < len(shape) or shape[axis] != scale.size:
        yield error(
            "shape",
            node,
            f"{scale.size} scales along axis {axis} of {shape}",
            # a grouped transposed convolution's weights have those of one group
            "one for each output channel that the weights have along their axis",
        )
