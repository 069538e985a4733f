"""Writes a Q/DQ graph in the form that ONNX Runtime makes integer operators of.

The graph means the same, but for four things that ONNX Runtime would otherwise do by itself, or
not:

- biases are INT32 codes with the scale of the products that they are added to. Its optimiser writes
  them so only where a Q follows, and where a channel's weights are so small that its bias does not
  fit it stores another number (weight_bias_quantization.cc, 1.32.0). Here the channel's weights
  then take a larger scale, of which the sum loses less than one part in 2^29 of the bias;
- a product with stored weights and the sum behind it, as PyTorch writes a Linear over rows, are a
  Gemm with such a bias. ONNX Runtime makes a Gemm of them too, before it looks for integer
  operators (matmul_add_fusion.cc, 1.32.0); its bias stays float32, and so the product does;
- average pools between codes are depthwise convolutions with weights of code 1 and the scale 1 /
  (kernel size): the same sums. Its integer pool takes four times the time of the one in float
  (scnet20 on AVX512-VNNI: 13 pools 24 % of an inference);
- for Arm the codes of activations are signed: uint8 less 128, the same values bit for bit. Its
  kernels for both sides signed are more (MLAS, qlinearconv.cc: symmetric products), and for them
  the optimiser wants weights signed too.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer, drop_unused, free_name, names_in
from edge_scnet.graph.operators import channels_of, integer_of, producer_type
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    QUANTIZE,
    codes_type,
    constant,
    dequantizers,
    input_of,
    is_constant,
    label,
    quantizer,
)

if TYPE_CHECKING:
    import onnx_ir as ir

_LAYERS = ("Conv", "Gemm")
# Attributes of an average pool that a convolution has too.
_KEPT = ("dilations", "kernel_shape", "pads", "strides")
# Axes of a Gemm's input.
_ROWS = 2
# A quarter of what INT32 holds: the products are added to it.
_LARGEST_BIAS = 2**29
# What the names of convolutions that average end with.
AVERAGE = "/average"


def onnxruntime_form(model: ir.Model, *, signed: bool) -> ir.Model:
    """Returns a copy in the form, with signed codes where they are asked for."""
    result = model.clone()
    taken = names_in(result.graph)
    for node in tuple(result.graph):
        if node.op_type == "AveragePool":
            _write_convolution(result.graph, node, taken)
        if node.op_type == "MatMul":
            _write_gemm(result.graph, node, taken)
    for node in tuple(result.graph):
        if node.op_type in _LAYERS:
            _write_bias(result.graph, node, taken)
    if signed:
        for node in tuple(result.graph):
            if node.op_type == QUANTIZE or (
                node.op_type == DEQUANTIZE and is_constant(input_of(node, 0))
            ):
                _write_signed(result.graph, node, taken)
    drop_unused(result.graph)
    return result


def _write_bias(graph: ir.Graph, node: ir.Node, taken: set[str | None]) -> None:
    """Gives a layer of codes an INT32 bias behind a DequantizeLinear, where it has one in float."""
    ir_module = require("onnx_ir", extra="quantize")
    bias = constant(input_of(node, 2))
    sides = [_before_rows(input_of(node, 0)), input_of(node, 1)]
    if bias is None or bias.ndim != 1 or any(producer_type(v) != DEQUANTIZE for v in sides):
        return
    if node.op_type == "Gemm" and not _is_plain(node):
        return
    scales = [constant(input_of(_producer(v), 1)) for v in sides]
    if scales[0] is None or scales[1] is None or scales[0].size != 1:
        return
    if scales[1].size not in (1, bias.size):
        return
    of_input = np.float32(scales[0].reshape(()))
    of_weights = _fitting(graph, node, bias, of_input, taken)
    scale = of_input * of_weights
    if scale.size == 1:
        scale = scale.reshape(())  # one for all channels
    codes = np.rint(bias.astype(np.float64) / scale.astype(np.float64))
    name = f"{label(node)}/bias"
    add = partial(add_initializer, graph, taken=taken)
    dequantize = ir_module.node(
        DEQUANTIZE,
        [
            add(f"{name}_int32", codes.astype(np.int32)),
            add(f"{name}_scale", scale),
            add(f"{name}_zero_point", np.zeros(scale.shape, np.int32)),
        ],
        attributes={"axis": 0} if scale.ndim else {},
        name=f"{name}/DQ",
    )
    dequantize.outputs[0].name = free_name(graph, f"{name}_dq", taken=taken)
    graph.insert_before(node, dequantize)
    node.replace_input_with(2, dequantize.outputs[0])


def _write_gemm(graph: ir.Graph, product: ir.Node, taken: set[str | None]) -> None:
    """Writes a product of codes, and the sum with a bias that alone reads it, as a Gemm of rows."""
    ir_module = require("onnx_ir", extra="quantize")
    found = _bias_behind(product)
    sizes = _sizes_of(product.inputs[0])
    if found is None or len(sizes) < _ROWS or found[1].ndim > len(sizes):
        return
    total, bias = found
    add = partial(add_initializer, graph, taken=taken)
    name, output = label(product), total.outputs[0]

    def made(kind: str, inputs: list[ir.Value | None], suffix: str) -> ir.Node:
        node: ir.Node = ir_module.node(kind, inputs, name=f"{name}{suffix}")
        node.outputs[0].name = free_name(graph, f"{name}{suffix}_o", taken=taken)
        return node

    source, nodes = product.inputs[0], []
    if len(sizes) > _ROWS:
        shape = add(f"{name}/rows_shape", np.array([math.prod(sizes[:-1]), sizes[-1]], np.int64))
        nodes.append(made("Reshape", [source, shape], "/rows"))
        source = nodes[-1].outputs[0]
    flat = add(f"{name}/bias", bias.reshape(-1))
    nodes.append(made("Gemm", [source, product.inputs[1], flat], ""))
    if len(sizes) > _ROWS:
        shape = add(f"{name}/sums_shape", np.array([*sizes[:-1], bias.size], np.int64))
        nodes.append(made("Reshape", [nodes[-1].outputs[0], shape], "/sums"))
    graph.insert_after(total, nodes)
    result = nodes[-1].outputs[0]
    ir_module.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
    result.name, result.type, result.shape = output.name, output.type, output.shape
    output.name = None
    graph.remove([total, product], safe=True)


def _bias_behind(product: ir.Node) -> tuple[ir.Node, np.ndarray] | None:
    """The sum that alone reads a product of codes and stored codes, and the bias that it adds."""
    if any(producer_type(value) != DEQUANTIZE for value in product.inputs):
        return None
    codes = constant(input_of(_producer(product.inputs[1]), 0))
    uses = tuple(product.outputs[0].uses())
    if codes is None or codes.ndim != _ROWS or len(uses) != 1:
        return None
    total = uses[0].node
    if total.op_type != "Add" or product.outputs[0].is_graph_output():
        return None
    bias = constant(total.inputs[1 - uses[0].idx])
    if bias is None or bias.size != codes.shape[1] or bias.shape[-1:] != codes.shape[1:]:
        return None
    return total, bias


def _before_rows(value: ir.Value | None) -> ir.Value | None:
    """What rows were made of; ONNX Runtime reshapes the codes instead."""
    producer = value.producer() if value is not None else None
    return producer.inputs[0] if producer is not None and producer.op_type == "Reshape" else value


def _sizes_of(value: ir.Value | None) -> tuple[int, ...]:
    """The sizes of a tensor of codes that were made floats; () where one is open."""
    dequantize = _producer(value)
    quantize = quantizer(dequantize)
    before = quantize.inputs[0] if quantize is not None else None
    for each in (value, before):
        if each is not None and each.shape is not None:
            sizes = tuple(size for size in each.shape if isinstance(size, int))
            return sizes if len(sizes) == len(each.shape) else ()
    return ()


def _write_convolution(graph: ir.Graph, pool: ir.Node, taken: set[str | None]) -> None:
    """Writes an average pool between codes as a convolution, where all its averages are of as many.

    At a border that is not counted, or beyond which ceil_mode reaches, they are not.
    """
    ir_module = require("onnx_ir", extra="quantize")
    source, output = pool.inputs[0], pool.outputs[0]
    channels = channels_of(output) or channels_of(source) if source is not None else 0
    uses = tuple(output.uses())
    pads, automatic = pool.attributes.get("pads"), pool.attributes.get("auto_pad")
    is_padded = pads is not None and any(pads.as_ints())
    if (
        not channels
        or producer_type(source) != DEQUANTIZE
        or [use.node.op_type for use in uses] != [QUANTIZE]
        or output.is_graph_output()
        or (integer_of(pool, "ceil_mode", 0) and not _has_whole_steps(pool))
        or (automatic is not None and automatic.as_string() != "NOTSET")
        or (is_padded and not integer_of(pool, "count_include_pad", 0))
    ):
        return
    size = pool.attributes["kernel_shape"].as_ints()
    name = f"{label(pool)}{AVERAGE}"
    add = partial(add_initializer, graph, taken=taken)
    dequantize = ir_module.node(
        DEQUANTIZE,
        [
            add(f"{name}/ones", np.ones((channels, 1, *size), np.int8)),
            add(f"{name}/scale", np.float32(1 / np.prod(size))),
            add(f"{name}/zero_point", np.int8(0)),
        ],
        name=f"{name}/DQ",
    )
    dequantize.outputs[0].name = free_name(graph, f"{name}/weights", taken=taken)
    kept = [pool.attributes[key] for key in _KEPT if key in pool.attributes]
    convolution = ir_module.Node(
        "",
        "Conv",
        [source, dequantize.outputs[0]],
        [*kept, ir_module.AttrInt64("group", channels)],
        name=name,
    )
    graph.insert_after(pool, [dequantize, convolution])
    result = convolution.outputs[0]
    uses[0].node.replace_input_with(uses[0].idx, result)
    result.name, result.type, result.shape = output.name, output.type, output.shape
    output.name = None
    graph.remove(pool, safe=True)


def _has_whole_steps(pool: ir.Node) -> bool:
    """Whether the steps of a pool without padding end at the border, so that nothing is cut off."""
    source = pool.inputs[0]
    dequantize = source.producer() if source is not None else None
    quantize = quantizer(dequantize) if dequantize is not None else None
    before = quantize.inputs[0] if quantize is not None else None
    size = pool.attributes["kernel_shape"].as_ints()
    if before is None or before.shape is None or len(before.shape) != len(size) + 2:
        return False
    steps = (
        pool.attributes["strides"].as_ints() if "strides" in pool.attributes else [1] * len(size)
    )
    if "pads" in pool.attributes and any(pool.attributes["pads"].as_ints()):
        return False
    return all(
        isinstance(length, int) and (length - kernel) % step == 0
        for length, kernel, step in zip(before.shape[2:], size, steps, strict=True)
    )


def _is_plain(gemm: ir.Node) -> bool:
    """Whether a Gemm adds its bias as it is."""
    factors = [gemm.attributes.get(name) for name in ("alpha", "beta")]
    return all(factor is None or factor.as_float() == 1.0 for factor in factors)


def _producer(value: ir.Value | None) -> ir.Node:
    producer = value.producer() if value is not None else None
    assert producer is not None
    return producer


def _fitting(
    graph: ir.Graph, node: ir.Node, bias: np.ndarray, of_input: np.float32, taken: set[str | None]
) -> np.ndarray:
    """The scales of a layer's weights, in which its bias fits; written anew where it did not."""
    dequantize = _producer(node.inputs[1])
    codes, scales = constant(input_of(dequantize, 0)), constant(input_of(dequantize, 1))
    assert codes is not None and scales is not None
    largest = np.abs(bias) if scales.size > 1 else np.abs(bias).max(initial=0.0)
    least = (largest / (np.float64(of_input) * _LARGEST_BIAS)).astype(np.float32)
    if (scales >= least).all():
        return scales
    raised: np.ndarray = np.maximum(scales, least)
    sizes = [1] * codes.ndim
    if scales.ndim:
        sizes[integer_of(dequantize, "axis", 1)] = -1
    ratio = (scales.astype(np.float64) / raised).reshape(sizes)
    zero = constant(input_of(dequantize, 2))
    zero = np.int64(0) if zero is None else zero.astype(np.int64).reshape(sizes)
    rescaled = np.rint((codes.astype(np.int64) - zero) * ratio) + zero
    name = f"{label(node)}/weight"
    add = partial(add_initializer, graph, taken=taken)
    dequantize = _own_dequantizer(graph, node, dequantize, taken)
    dequantize.replace_input_with(0, add(f"{name}_rescaled", rescaled.astype(codes.dtype)))
    dequantize.replace_input_with(1, add(f"{name}_raised_scale", raised))
    return raised


def _own_dequantizer(
    graph: ir.Graph, node: ir.Node, dequantize: ir.Node, taken: set[str | None]
) -> ir.Node:
    """The DequantizeLinear of a layer's weights, copied where others read its output too."""
    output = dequantize.outputs[0]
    if len(output.uses()) == 1 and not output.is_graph_output():
        return dequantize
    name = f"{label(node)}/weight"
    own: ir.Node = require("onnx_ir", extra="quantize").Node(
        dequantize.domain,
        DEQUANTIZE,
        dequantize.inputs,
        dequantize.attributes.values(),
        name=f"{name}/DQ",
    )
    own.outputs[0].name = free_name(graph, f"{name}_dq", taken=taken)
    own.outputs[0].type, own.outputs[0].shape = output.type, output.shape
    graph.insert_before(node, own)
    node.replace_input_with(1, own.outputs[0])
    return own


def _write_signed(graph: ir.Graph, node: ir.Node, taken: set[str | None]) -> None:
    """Writes uint8 codes as int8 with a zero point that is lower by 128: Q and its DQ, or weights.

    Other types of codes are left alone.
    """
    ir_module = require("onnx_ir", extra="quantize")
    if codes_type(node) != "UINT8":
        return
    add = partial(add_initializer, graph, taken=taken)
    halves = [node, *(dequantizers(node) if node.op_type == QUANTIZE else ())]
    for half in halves:
        scale, zero = constant(input_of(half, 1)), constant(input_of(half, 2))
        if zero is None:
            zero = np.zeros(() if scale is None else scale.shape, np.uint8)
        half.resize_inputs(3)
        lowered = (zero.astype(np.int16) - 128).astype(np.int8)
        half.replace_input_with(2, add(f"{label(half)}/signed_zero_point", lowered))
        half.attributes.pop("output_dtype", None)
    codes = constant(input_of(node, 0)) if node.op_type == DEQUANTIZE else None
    if codes is not None:
        lowered = (codes.astype(np.int16) - 128).astype(np.int8)
        node.replace_input_with(0, add(f"{label(node)}/signed", lowered))
    else:
        node.outputs[0].type = ir_module.TensorType(ir_module.DataType.INT8)
