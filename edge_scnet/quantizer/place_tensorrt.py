"""Where Q/DQ go for TensorRT's explicit quantization: signed, symmetric, zero point 0, bias float.

Inputs of Conv, Gemm, MatMul and the average pools (which do not commute with Q/DQ: in float they
cost a copy each), never their outputs: what follows a convolution fuses into it. Of a residual Add
the skip side only, so that the convolution's side fuses with the sum into one INT8 kernel. After a
Concat one Q/DQ, whose inputs then take its scale. The gate: the Resize side of its Add and both
inputs of its product, the sigmoid in float. Rules and figures: NVIDIA's for ResNet-18 on an A100
(0.883 ms without residual Q/DQ, 0.546 with), and what ModelOpt 0.47 does to SCNet-50.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edge_scnet.graph.operators import COMPUTE_OPS, is_spatial_mean, passes_scale, producer_type
from edge_scnet.quantizer.sites import (
    ActivationSite,
    Placement,
    int8_source,
    site_params,
    weight_site,
)
from edge_scnet.quantizer.statistics import Ranges

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme


def place_tensorrt(
    model: ir.Model, ranges: Ranges, scheme: QuantScheme, layers: Sequence[ir.Node]
) -> Placement:
    """Returns the placement for TensorRT: symmetric int8 activations.

    Args:
        layers: those that are to execute in INT8.
    """
    sites = []
    for value, readers in _wanted(model, layers):
        consumers = {str(use.node.name) for use in value.uses()}
        sites.append(
            ActivationSite(
                tensor=str(value.name),
                params=site_params(value, ranges, scheme, "int8"),
                float_consumers=tuple(sorted(consumers - readers)),
            )
        )
    return Placement(
        activations=tuple(sites),
        weights=tuple(weight_site(node) for node in layers),
        int8_nodes=tuple(str(node.name) for node in layers),
    )


def _wanted(model: ir.Model, layers: Sequence[ir.Node]) -> list[tuple[ir.Value, set[str]]]:
    """The tensors that get a pair, and for each the nodes that read it quantized.

    A tensor may be quantized for one consumer and stay float for another.
    """
    values: dict[str, ir.Value] = {}
    readers: dict[str, set[str]] = {}
    for node, value in _quantized_inputs(model, layers):
        while (
            value is not None
            and (producer := value.producer()) is not None
            and passes_scale(producer)
        ):
            node, value = producer, producer.inputs[0]
        if value is not None and value.name:
            values[value.name] = value
            readers.setdefault(value.name, set()).add(str(node.name))
    return [(value, readers[name]) for name, value in values.items()]


def _quantized_inputs(
    model: ir.Model, layers: Sequence[ir.Node]
) -> Iterator[tuple[ir.Node, ir.Value | None]]:
    """Every input that is to be quantized, with the node that reads it."""
    for node in layers:
        yield node, node.inputs[0]
    int8 = {id(node) for node in layers}
    depth = _depths(model)
    for node in model.graph:
        source = node.inputs[0] if node.inputs else None
        if node.op_type in ("AveragePool", "GlobalAveragePool") or is_spatial_mean(node):
            if int8_source(source, int8):
                yield node, source
        elif node.op_type == "Add":
            if (skip := _skip_side(node, int8, depth)) is not None:
                yield node, skip
        elif _is_gate(node) and any(id(use.node) in int8 for use in node.outputs[0].uses()):
            for value in node.inputs:
                yield node, value


def _skip_side(node: ir.Node, int8: set[int], depth: Mapping[str, int]) -> ir.Value | None:
    """The skip input of an Add of two computed tensors.

    It is the one with fewer convolutions before it; of a gate the Resize. None where no INT8
    convolution is there to fuse with the sum.
    """
    inputs = [value for value in node.inputs if value is not None and value.producer() is not None]
    if len(inputs) != 2:
        return None
    resized = [value for value in inputs if producer_type(value) == "Resize"]
    if resized:
        return resized[0]
    if not any(id(value.producer()) in int8 for value in inputs):
        return None
    return min(inputs, key=lambda value: depth.get(str(value.name), 0))


def _depths(model: ir.Model) -> dict[str, int]:
    """Convolutions and linear layers on the longest way from the input to each tensor."""
    depth: dict[str, int] = {}
    for node in model.graph:
        before = max(
            (depth.get(str(value.name), 0) for value in node.inputs if value is not None), default=0
        )
        for value in node.outputs:
            depth[str(value.name)] = before + (node.op_type in COMPUTE_OPS)
    return depth


def _is_gate(node: ir.Node) -> bool:
    """Whether it is a product with a sigmoid."""
    return node.op_type == "Mul" and any(producer_type(value) == "Sigmoid" for value in node.inputs)
