"""What of a graph is quantized, and the hash of a graph: facts that a gate compares exactly.

Accuracy does not show such changes: a scale four times too large costs a tenth of a percentage
point, which no evaluation set tells from chance, but two numbers side by side do. The facts are
taken when the Q/DQ graph is written and travel with it, so that a report holds them on any machine;
`gate/quantization.py` compares them.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from edge_scnet.core.packing import pack_scales
from edge_scnet.core.provenance import ActivationScale, Quantization, WeightCodes
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    QUANTIZE,
    codes_of,
    codes_type,
    constant,
    input_of,
    is_weight,
    label,
    pairs,
    reader_of,
)

if TYPE_CHECKING:
    import onnx_ir as ir


def quantization_of(model: ir.Model) -> Quantization:
    """Returns the scales and codes of a Q/DQ graph, made here or by another quantizer."""
    activations: dict[str, ActivationScale] = {}
    weights: dict[str, WeightCodes] = {}
    for node in pairs(model):
        if is_weight(node):
            if node.op_type == DEQUANTIZE and (codes := _weight_codes(node)) is not None:
                weights[label(reader_of(node))] = codes
        elif node.op_type == QUANTIZE and (scale := _activation_scale(node)) is not None:
            tensor = node.inputs[0].name if node.inputs[0] is not None else node.name
            activations[str(tensor)] = scale
    return Quantization(activations=activations, weights=weights)


def _activation_scale(quantize: ir.Node) -> ActivationScale | None:
    scale, zero = constant(input_of(quantize, 1)), constant(input_of(quantize, 2))
    if scale is None or not scale.size:
        return None
    return ActivationScale(
        scale=float(scale.max()),
        zero_point=0 if zero is None or not zero.size else int(zero.reshape(-1)[0]),
        codes=codes_type(quantize),
    )


def _weight_codes(dequantize: ir.Node) -> WeightCodes | None:
    codes, scale = codes_of(dequantize), constant(input_of(dequantize, 1))
    if codes is None or scale is None:
        return None
    return WeightCodes(
        distinct=len(set(codes.ravel().tolist())),
        channels=int(scale.size),
        scales=pack_scales(scale.ravel().tolist()),
    )


def graph_hash(model: ir.Model) -> str:
    """Returns the hex sha256 of operators, connections and attributes.

    The graph of another exporter differs, other weights do not.
    """
    rows = []
    for node in model.graph:
        attributes = sorted(
            (name, str(attribute.value))
            for name, attribute in node.attributes.items()
            if str(getattr(attribute.type, "name", "")) not in ("TENSOR", "GRAPH")
        )
        inputs = [None if value is None else _wire(value) for value in node.inputs]
        rows.append([node.op_type, inputs, [str(value.name) for value in node.outputs], attributes])
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _wire(value: ir.Value) -> str:
    # a constant by its shape: its name may hold a counter of the exporter's
    return f"constant {list(value.shape or ())}" if value.is_initializer() else str(value.name)
