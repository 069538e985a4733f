"""What an engine was made of and what was quantized: facts that a gate compares exactly, where
accuracy could not see a change.

A scale four times too large costs a tenth of a percentage point: no evaluation set tells that from
chance, two numbers side by side do. The facts are taken when the Q/DQ graph is written and travel
with it, so that a report holds them on any machine. This module reads graphs and manifests; it
judges nothing (`regression.py` does).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from edge_scnet.core.packing import pack_scales
from edge_scnet.core.provenance import ActivationScale, Quantization, WeightCodes

if TYPE_CHECKING:
    import onnx_ir as ir


def quantization_of(model: ir.Model) -> Quantization:
    """The scales and codes of a Q/DQ graph, ours or another quantizer's."""
    from edge_scnet.graph import pairs

    activations: dict[str, ActivationScale] = {}
    weights: dict[str, WeightCodes] = {}
    for node in pairs.pairs(model):
        if pairs.is_weight(node):
            if node.op_type == pairs.DEQUANTIZE and (found := _weight_codes(node)) is not None:
                weights[_layer_of(node)] = found
        elif node.op_type == pairs.QUANTIZE:
            scale, zero = (
                pairs.constant(pairs.input_of(node, 1)),
                pairs.constant(pairs.input_of(node, 2)),
            )
            if scale is not None and scale.size:
                activations[
                    str(node.inputs[0].name if node.inputs[0] is not None else node.name)
                ] = ActivationScale(
                    scale=float(scale.max()),
                    zero_point=0 if zero is None or not zero.size else int(zero.reshape(-1)[0]),
                    codes=pairs.codes_type(node),
                )
    return Quantization(activations=activations, weights=weights)


def _weight_codes(dequantize: ir.Node) -> WeightCodes | None:
    from edge_scnet.graph import pairs

    codes, scale = pairs.codes_of(dequantize), pairs.constant(pairs.input_of(dequantize, 1))
    if codes is None or scale is None:
        return None
    return WeightCodes(
        distinct=len(set(codes.ravel().tolist())),
        channels=int(scale.size),
        scales=pack_scales(scale.ravel().tolist()),
    )


def _layer_of(dequantize: ir.Node) -> str:
    """The node that reads the weights, past what only turns or reshapes them."""
    from edge_scnet.graph import pairs

    value = dequantize.outputs[0]
    while len(uses := tuple(value.uses())) == 1 and uses[0].node.op_type in (
        "Transpose",
        "Reshape",
        "Identity",
    ):
        value = uses[0].node.outputs[0]
    return pairs.label(uses[0].node) if uses else pairs.label(dequantize)


def graph_hash(model: ir.Model) -> str:
    """Hex sha256 of operators, connections and attributes: another exporter's graph differs, other
    weights do not.
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
