"""Checks a Q/DQ graph against a scheme: ours, or one made by others. Pure: it reads the graph and
changes nothing.

`lint` says what a runtime would refuse, get wrong or leave in float; each finding names the node
and the fix. Rules without a scheme in their docstring hold for both. The two faults of OpenVINO are
found by `miscompiled.py`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_scnet.errors import ArtifactError
from edge_scnet.graph import openvino_faults as miscompiled
from edge_scnet.graph.operators import output_axis, producer_type
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    QUANTIZE,
    behind_moves,
    codes_type,
    constant,
    has_codes,
    input_of,
    integer,
    is_constant,
    is_per_channel,
    is_weight,
    label,
    largest_code,
    pairs,
    quantizer,
    weight_shape,
)

if TYPE_CHECKING:
    import onnx_ir as ir

Severity = Literal["error", "warning"]  # wrong or refused; slower or less accurate than it could be
Scheme = Literal["openvino", "tensorrt"]
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_QOPERATORS = frozenset(
    {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QGemm", "DynamicQuantizeMatMul"}
)
# Behind these a tensor has its input's codes still; TensorRT computes an AveragePool without Q/DQ
# of its own in float.
_MOVES = miscompiled.PRESERVING | {"Identity", "Dropout"}
_KEEPS_CODES = {"openvino": _MOVES, "tensorrt": _MOVES - {"AveragePool"}}
# The oldest opset with it: per-channel scales; FP16 scales and FP8; 16 and 4 bits and blocks.
_PER_CHANNEL, _HALF, _WIDE = 13, 19, 21
_TENSORRT_8_OPSET = 17  # the last that TensorRT 8.5 and 8.6 read


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """One fault of a Q/DQ graph."""

    rule: str  # stable name, for filters and tests
    node: str  # the node's name, or its output's where it has none
    problem: str
    fix: str
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    scheme: Scheme
    keep_float: tuple[str, ...]
    max_opset: int | None
    weight_bits: int | None


def lint(
    model: ir.Model,
    scheme: Scheme,
    *,
    keep_float: Sequence[str] = (),
    max_opset: int | None = None,
    weight_bits: int | None = None,
) -> tuple[LintFinding, ...]:
    """All findings, by rule and in the graph's order.

    Args:
        keep_float: patterns of node names (before "#") that are to stay in float.
        max_opset: the newest opset that the runtime reads. Up to 17 it is a TensorRT 8.
        weight_bits: what the instruction set carries (environment.weight_bits); 7: codes from -64
            to 64.
    """
    options = _Options(
        scheme=scheme, keep_float=tuple(keep_float), max_opset=max_opset, weight_bits=weight_bits
    )
    return tuple(
        finding for rule in (*_COMMON, *_BY_SCHEME[scheme]) for finding in rule(model, options)
    )


def is_quantized(model: ir.Model) -> bool:
    """Whether the graph holds any quantization already: to quantize it again would be wrong."""
    return any(
        node.op_type in (QUANTIZE, DEQUANTIZE) or _is_qoperator(node) for node in model.graph
    )


def _is_qoperator(node: ir.Node) -> bool:
    return node.op_type.startswith("QLinear") or node.op_type in _QOPERATORS


def _error(rule: str, node: ir.Node, problem: str, fix: str) -> LintFinding:
    return LintFinding(rule=rule, node=label(node), problem=problem, fix=fix, severity="error")


def _warning(rule: str, node: ir.Node, problem: str, fix: str) -> LintFinding:
    return LintFinding(rule=rule, node=label(node), problem=problem, fix=fix, severity="warning")


def _forms(model: ir.Model, options: _Options) -> Iterator[LintFinding]:
    """Q/DQ pairs only: both runtimes fuse pairs, and neither reads QLinearConv and its like."""
    for node in model.graph:
        if _is_qoperator(node):
            fix = "write the model with Q/DQ pairs (quant_format=QuantFormat.QDQ of ONNX Runtime)"
            yield _error("qoperator", node, f"{node.op_type} is a QOperator form", fix)
        elif node.op_type == QUANTIZE:
            output = node.outputs[0]
            others = [label(use.node) for use in output.uses() if use.node.op_type != DEQUANTIZE]
            if output.is_graph_output() or others or not output.uses():
                where = ", ".join(others) or (
                    "the graph's output" if output.is_graph_output() else "nothing"
                )
                yield _error(
                    "unpaired",
                    node,
                    f"its codes go to {where}",
                    "a DequantizeLinear directly behind it",
                )
        elif (
            node.op_type == DEQUANTIZE
            and quantizer(node) is None
            and not is_constant(node.inputs[0])
        ):
            yield _error(
                "unpaired",
                node,
                "it reads neither a Q nor a constant",
                "a QuantizeLinear directly in front of it",
            )


def _parameters(model: ir.Model, options: _Options) -> Iterator[LintFinding]:
    """Scales and zero points that ONNX and both runtimes can use."""
    for node in pairs(model):
        scale, zero = constant(input_of(node, 1)), constant(input_of(node, 2))
        if scale is None or (input_of(node, 2) is not None and zero is None):
            yield _error(
                "constant",
                node,
                "scale or zero point is computed",
                "initializers: both are fixed at calibration",
            )
            continue
        real = scale.astype(np.float64)
        if not np.issubdtype(scale.dtype, np.floating) and scale.dtype.kind != "V":
            yield _error("scale", node, f"the scale's type is {scale.dtype}", "a float scale")
        elif not (np.isfinite(real).all() and (real > 0).all()):
            bad = real[~(np.isfinite(real) & (real > 0))].reshape(-1)[0]
            yield _error(
                "scale",
                node,
                f"a scale is {bad:g}",
                "every scale above 0 and finite: was the tensor calibrated?",
            )
        if zero is not None and zero.shape != scale.shape:
            fix = "one zero point for each scale"
            yield _error(
                "shape",
                node,
                f"the scale's shape is {scale.shape}, the zero point's {zero.shape}",
                fix,
            )
        elif scale.size > 1 and (problem := _per_channel_problem(node, scale)):
            yield problem


def _per_channel_problem(node: ir.Node, scale: np.ndarray) -> LintFinding | None:
    shape, axis = weight_shape(node), integer(node, "axis", 1)
    if not is_weight(node):
        return _error(
            "activation",
            node,
            f"an activation has {scale.size} scales",
            "one scale for an activation",
        )
    if scale.ndim != 1 or integer(node, "block_size", 0):
        return _error(
            "shape",
            node,
            f"the scales have shape {scale.shape}",
            "one scale, or one for each output channel",
        )
    if not -len(shape) <= axis < len(shape) or shape[axis] != scale.size:
        return _error(
            "shape",
            node,
            f"{scale.size} scales along axis {axis} of {shape}",
            "one for each output channel",
        )
    return None


def _opset(model: ir.Model, options: _Options) -> Iterator[LintFinding]:
    """Per-channel Q/DQ exist from opset 13, FP16 scales from 19, 16 and 4 bits from 21 (ONNX's
    operator changelog).
    """
    opset = model.opset_imports.get("", 0)
    needed = [
        (_needed_opset(node), node) for node in pairs(model) if node.domain in ("", "ai.onnx")
    ]
    least, node = max(needed, key=lambda item: item[0], default=(0, None))
    if node is not None and least > opset:
        yield _error(
            "opset",
            node,
            f"it needs opset {least}, the graph has {opset}",
            f"export with opset {least} or newer",
        )
    first = next(iter(model.graph), None)
    if first is not None and options.max_opset is not None and opset > options.max_opset:
        fix = f"export with opset {options.max_opset}, or convert (onnx.version_converter)"
        yield _error(
            "opset",
            first,
            f"the graph has opset {opset}, the runtime reads up to {options.max_opset}",
            fix,
        )


def _needed_opset(node: ir.Node) -> int:
    scale, kind = input_of(node, 1), codes_type(node)
    if (
        integer(node, "block_size", 0)
        or kind in ("INT16", "UINT16", "INT4", "UINT4")
        or "output_dtype" in node.attributes
    ):
        return _WIDE
    if kind.startswith("FLOAT8") or (
        scale is not None and scale.dtype is not None and scale.dtype.name != "FLOAT"
    ):
        return _HALF
    return _PER_CHANNEL if is_per_channel(node) or "axis" in node.attributes else 10


def _layers(model: ir.Model, options: _Options) -> Iterator[LintFinding]:
    """Convolutions and products with constant weights are quantized on both sides: with one they
    lose and gain nothing.

    A head that is wholly in float is left alone: it costs little, and its noise is the logits' own.
    """
    keeps = _KEEPS_CODES[options.scheme]
    for node in model.graph:
        weight = input_of(node, 1)
        if node.op_type not in _LAYERS or weight is None or is_constant(node.inputs[0]):
            continue
        source = behind_moves(weight)
        sides = has_codes(node.inputs[0], keeps), producer_type(source) == DEQUANTIZE
        if not (sides[1] or is_constant(source)):
            continue  # its weights are computed
        is_head = (
            sides == (False, False)
            and node.op_type in ("Gemm", "MatMul")
            and node.outputs[0].is_graph_output()
        )
        if sides != (True, True) and not is_head and not _is_kept(node, options.keep_float):
            rule, problem = _ONE_SIDE[sides]
            yield _warning(
                rule,
                node,
                f"it runs in float: {problem}",
                "quantize input and weights, or name it in keep_float",
            )
        if producer_type(weight) == DEQUANTIZE:
            yield from _weight(node, weight, options)


_ONE_SIDE = {
    (False, False): ("float", "neither input nor weights are quantized"),
    (True, False): ("half-quantized", "its input is quantized, its weights are not"),
    (False, True): ("half-quantized", "its weights are quantized, its input is not"),
}


def _weight(node: ir.Node, weight: ir.Value, options: _Options) -> Iterator[LintFinding]:
    """Scales along the output channel; codes that the instruction set can multiply (vpmaddubsw sums
    two in 16 bits).
    """
    dequantize = weight.producer()
    assert dequantize is not None
    rank = len(weight_shape(dequantize))
    wanted = rank - 1 if node.op_type == "MatMul" else output_axis(node)
    for half in filter(None, (quantizer(dequantize), dequantize)):
        axis = integer(half, "axis", 1)
        if is_per_channel(half) and rank and axis % rank != wanted:
            problem = f"scales along axis {axis} of the weights of {label(node)}"
            yield _error("axis", half, problem, f"axis {wanted}, its output channels")
    limit = None if options.weight_bits is None else 2 ** (options.weight_bits - 1)
    if limit is not None and (largest := largest_code(dequantize)) > limit:
        yield _error(
            "weight-bits",
            node,
            f"a weight's code is {largest}: products saturate silently where VNNI is missing",
            f"weights of {options.weight_bits} bits, codes from -{limit} to {limit} (reduce_range"
            " in ONNX Runtime)",
        )


def _is_kept(node: ir.Node, patterns: tuple[str, ...]) -> bool:
    return any(
        fnmatch.fnmatchcase((node.name or "").partition("#")[0], pattern) for pattern in patterns
    )


def _openvino(model: ir.Model, options: _Options) -> Iterator[LintFinding]:
    """openvino: what it miscompiles (`miscompiled.py`), and what it runs in float without a word."""
    for node in miscompiled.signed_quantizers(model):
        yield _error(
            "signed-codes",
            node,
            "OpenVINO takes the range of its int8 codes for real values: steps of 1.0, or float",
            "uint8 codes with the zero point raised by 128 (the same values); after ReLU zero"
            " point 0",
        )
    for node in miscompiled.padded_pools(model):
        yield _error(
            "padded-pool",
            node,
            "OpenVINO averages its padding as code 0, which is not the value 0 of this tensor",
            "zero point 0 in front of it (uint8 after ReLU), or a depthwise convolution with equal"
            " weights",
        )
    for node in miscompiled.mixed_concats(model):
        fix = "one Q behind the Concat, or one scale for all its inputs"
        yield _warning(
            "mixed-scales",
            node,
            "its inputs have several scales: the convolution behind it runs in float",
            fix,
        )
    for node in pairs(model):
        kind = codes_type(node)
        if kind not in ("INT8", "UINT8") and not (kind == "INT32" and is_weight(node)):
            yield _warning("type", node, f"{kind} codes run in float", "int8 or uint8 codes")


def _tensorrt_pairs(model: ir.Model, options: _Options) -> Iterator[LintFinding]:
    """tensorrt: symmetric INT8 with its zero point written, float biases; TensorRT 8 wants weights
    as float -> Q -> DQ.

    8.5 needs the third input: without it ONNX means uint8 and TensorRT int8. UINT8 is read as INT8
    with a warning, or refused; an INT32 bias behind a DequantizeLinear is refused by every version
    (quantize_static writes it by default).
    """
    for node in pairs(model):
        kind, zero = codes_type(node), constant(input_of(node, 2))
        if kind == "INT32":
            yield _error(
                "int32-bias",
                node,
                "TensorRT refuses INT32 codes",
                "leave the bias in float (QuantizeBias=False)",
            )
        elif input_of(node, 2) is None:
            yield _error(
                "zero-point",
                node,
                "it has no zero point: uint8 to ONNX, int8 to TensorRT",
                "an int8 zero point of 0",
            )
        elif kind != "INT8":
            yield _error(
                "type", node, f"TensorRT takes INT8 only, this is {kind}", "symmetric int8 codes"
            )
        if zero is not None and np.any(zero):
            yield _error(
                "zero-point",
                node,
                f"the zero point is {zero.reshape(-1)[0]}",
                "symmetric codes: zero point 0",
            )
        old = options.max_opset is not None and options.max_opset <= _TENSORRT_8_OPSET
        if old and node.op_type == DEQUANTIZE and kind == "INT8" and is_constant(node.inputs[0]):
            yield _error(
                "weight-form", node, "TensorRT 8 reads no INT8 weights", "float weights -> Q -> DQ"
            )


def _tensorrt_places(model: ir.Model, options: _Options) -> Iterator[LintFinding]:
    """tensorrt: an average pool without Q/DQ is an island of float; of a residual Add only the skip
    side has Q/DQ.

    A convolution fuses with the Add behind it only where its own output is not quantized first.
    """
    keeps = _KEEPS_CODES[options.scheme]
    for node in model.graph:
        if node.op_type in ("AveragePool", "GlobalAveragePool") and not has_codes(
            node.inputs[0], keeps
        ):
            if not _is_kept(node, options.keep_float):
                yield _warning(
                    "float-pool", node, "it runs in float between copies", "Q/DQ on its input"
                )
        elif node.op_type == "Add" and _quantizes_both(node, keeps):
            problem = "both inputs are quantized: no convolution fuses with it"
            yield _warning("residual", node, problem, "Q/DQ on the skip side only")


def _quantizes_both(add: ir.Node, keeps: frozenset[str]) -> bool:
    return all(has_codes(value, keeps) for value in add.inputs) and any(
        _is_convolution_output(value) for value in add.inputs
    )


def _is_convolution_output(value: ir.Value | None) -> bool:
    dequantize = value.producer() if value is not None else None
    source = quantizer(dequantize) if dequantize is not None else None
    return source is not None and producer_type(source.inputs[0]) == "Conv"


_Rule = Callable[["ir.Model", _Options], Iterator[LintFinding]]
_COMMON: tuple[_Rule, ...] = (_opset, _forms, _parameters, _layers)
_BY_SCHEME: dict[str, tuple[_Rule, ...]] = {
    "openvino": (_openvino,),
    "tensorrt": (_tensorrt_pairs, _tensorrt_places),
}


def refuse(file: Path | str, target: str, errors: Sequence[LintFinding]) -> None:
    """Raises ArtifactError where the lint found errors: the first of them, and the first fix."""
    if errors:
        shown = "".join(f"\n  {finding.node}: {finding.problem}" for finding in errors[:5])
        more = f"\n  and {len(errors) - 5} more" if len(errors) > 5 else ""
        raise ArtifactError(
            f"{file} is wrong for target {target}:{shown}{more}", hint=errors[0].fix
        )
