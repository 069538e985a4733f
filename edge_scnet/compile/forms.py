"""The two graphs of a target in the form that its TensorRT reads: INT8, and its FP16 twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.compile.half import to_half
from edge_scnet.compile.half_limits import scales_of
from edge_scnet.core.manifest import INT8_FORM
from edge_scnet.core.optional import require
from edge_scnet.graph.lint import lint, refuse
from edge_scnet.graph.model import add_initializer, drop_unused
from edge_scnet.graph.pairs import DEQUANTIZE, integer
from edge_scnet.quantizer.equalize import equalize

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import TargetSpec
    from edge_scnet.quantizer.statistics import Ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The two graphs as the target's TensorRT reads them."""

    int8: ir.Model
    fp16: ir.Model
    # Nodes of either that FP16 cannot hold, and why.
    kept_fp32: dict[str, str]


def forms_of(float_model: ir.Model, qdq: ir.Model, ranges: Ranges, target: TargetSpec) -> Forms:
    """Writes both graphs in the target's form.

    Args:
        float_model: as exported; the twin is made of its equalised form, whose ranges are known.

    Raises:
        ArtifactError: the INT8 graph breaks a rule of TensorRT; names the node and the fix.
    """
    assert target.board is not None
    twin = equalize(float_model, ranges.factors) if ranges.factors else float_model
    kept: dict[str, str] = {}
    if target.board.strongly_typed and target.rest == "fp16":
        int8_half, fp16_half = to_half(qdq, ranges.tensors), to_half(twin, ranges.tensors)
        int8, fp16 = int8_half.model, fp16_half.model
        kept = {**fp16_half.kept, **int8_half.kept}
    else:
        int8, fp16 = to_float_weights(qdq), twin
    findings = lint(
        int8,
        "tensorrt",
        keep_float=target.quant.keep_float,
        max_opset=target.board.max_opset,
        rtx=_is_rtx(target),
    )
    refuse(INT8_FORM, target.name, [finding for finding in findings if finding.severity == "error"])
    return Forms(int8=int8, fp16=fp16, kept_fp32=kept)


def check_operators(model: ir.Model, target: TargetSpec) -> None:
    """Checks that the target's TensorRT knows every operator of a float graph.

    Raises:
        ArtifactError: it does not; names the nodes and the way out.
    """
    assert target.board is not None
    findings = lint(model, "tensorrt", max_opset=target.board.max_opset, rtx=_is_rtx(target))
    unknown = [finding for finding in findings if finding.rule == "operator"]
    refuse("the graph", target.name, unknown)


def _is_rtx(target: TargetSpec) -> bool:
    return target.runtime == "tensorrt_rtx"


def to_float_weights(model: ir.Model) -> ir.Model:
    """Returns a copy with float weights -> Q -> DQ where INT8 weights -> DQ were.

    TensorRT 8 reads no other form. The floats are codes x scale, so that Q gives the same codes.
    """
    ir_module = require("onnx_ir", extra="quantize")
    result = model.clone()
    graph = result.graph
    for node in tuple(graph):
        codes = node.inputs[0] if node.op_type == DEQUANTIZE else None
        if codes is None or codes.const_value is None:
            continue
        array, scales = codes.const_value.numpy(), scales_of(node)
        axis = integer(node, "axis", 1)
        shape = [1] * array.ndim
        if scales.ndim:
            shape[axis] = scales.size
        weights = array.astype(np.float32) * scales.reshape(shape)
        name = f"{codes.name}_float"
        value = (
            graph.initializers[name]
            if name in graph.initializers
            else add_initializer(graph, name, weights)
        )
        quantize = ir_module.node(
            "QuantizeLinear",
            [value, *node.inputs[1:]],
            attributes=dict(node.attributes),
            name=f"{str(node.name).removesuffix('DQ')}Q",
        )
        quantize.outputs[0].name = f"{node.outputs[0].name}_codes"
        graph.insert_before(node, quantize)
        node.replace_input_with(0, quantize.outputs[0])
    drop_unused(graph)
    return result
