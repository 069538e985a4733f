"""Where Q/DQ go for ONNX Runtime's CPU provider.

Its optimiser makes an integer operator of DQ, operator, Q, and of nothing else: a convolution whose
result is not quantized runs in float on dequantized weights (qdq_selectors.cc, 1.32.0). So:

- both ends of every convolution are quantized; of a product with stored weights the input alone,
  for its integer form may give float32;
- a Relu or a Clip that alone reads a layer is folded into the codes' range, the pair is behind it;
- behind what only picks or moves values (a Reshape, a MaxPool, a Resize to the nearest) there is a
  pair with the parameters of its input: the operator then runs on codes;
- of what lies between, the operators that have an integer form get pairs on all of their inputs:
  pools and Concat, in the variant "fast" also sums, products and sigmoids;
- what a Concat alone reads has its parameters: it is rounded once, and copied there;
- the codes are uint8, asymmetric. A build for Arm writes the same values in int8
  (`graph/onnxruntime_form.py`), whose kernels for signed codes are more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.operators import passes_scale, result_of
from edge_scnet.graph.pairs import constant, input_of, is_constant
from edge_scnet.quantizer.params import QuantParams
from edge_scnet.quantizer.sites import ActivationSite, Placement, site_params, weight_site
from edge_scnet.quantizer.statistics import Ranges

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

# Operators with an integer form, besides those that pick or move values.
_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "Concat"})
_ELEMENTWISE = frozenset({"Add", "LeakyRelu", "Mul", "Sigmoid"})


def place_onnxruntime(
    model: ir.Model, ranges: Ranges, scheme: QuantScheme, layers: Sequence[ir.Node]
) -> Placement:
    """Returns the placement for ONNX Runtime: asymmetric uint8 activations.

    Args:
        layers: those that are to execute in INT8.
    """
    wanted = _wanted(model, layers, fast=scheme.variant == "fast")
    params: dict[str, QuantParams] = {}
    for value in wanted.values():
        source = _source(value)
        if source.name not in params:
            params[str(source.name)] = _within_clip(
                source, site_params(source, ranges, scheme, "uint8")
            )
    for node in model.graph:
        if node.op_type == "Concat" and node.outputs[0].name in wanted:
            joined = params[str(node.outputs[0].name)]
            params |= {name: joined for name in _read_by_it_alone(node) if name in params}
    return Placement(
        activations=tuple(
            ActivationSite(tensor=name, params=params[str(_source(value).name)])
            for name, value in wanted.items()
        ),
        weights=tuple(weight_site(node) for node in layers),
        int8_nodes=tuple(str(node.name) for node in layers),
    )


def _wanted(model: ir.Model, layers: Sequence[ir.Node], *, fast: bool) -> dict[str, ir.Value]:
    """The tensors that get a pair, by name."""
    wanted: dict[str, ir.Value] = {}

    def want(value: ir.Value | None) -> None:
        while value is not None and value.name and not is_constant(value):
            wanted[value.name] = value
            producer = value.producer()
            if producer is None or not passes_scale(producer):
                break
            value = producer.inputs[0]

    for node in layers:
        want(node.inputs[0])
        if node.op_type == "Conv":
            want(result_of(node))
    integer = _POOLS | _ELEMENTWISE if fast else _POOLS
    for node in reversed(tuple(model.graph)):
        if node.op_type not in integer or result_of(node).name not in wanted:
            continue
        inputs = node.inputs if node.op_type != "LeakyRelu" else node.inputs[:1]
        if not any(is_constant(value) for value in inputs):
            for value in inputs:
                want(value)
    return wanted


def _source(value: ir.Value) -> ir.Value:
    """The tensor whose scale a tensor has: that in front of what only picks or moves values."""
    while (producer := value.producer()) is not None and passes_scale(producer):
        source = producer.inputs[0]
        if source is None or is_constant(source):
            break
        value = source
    return value


def _read_by_it_alone(concat: ir.Node) -> Iterator[str]:
    """The tensors that only this Concat reads, itself or past what passes their scale on."""
    for value in concat.inputs:
        while value is not None:
            uses = tuple(value.uses())
            if len(uses) != 1 or value.is_graph_output() or value.producer() is None:
                break
            producer = value.producer()
            assert producer is not None
            if not passes_scale(producer):
                yield str(value.name)
                break
            value = producer.inputs[0]


def _within_clip(value: ir.Value, params: QuantParams) -> QuantParams:
    """The parameters with a range that a Clip in front does not cut.

    Rounding the scale to float32 may put its ends beyond the Clip's by a last bit, and ONNX Runtime
    then folds neither the Clip nor the layer in front of it.
    """
    clip = value.producer()
    if clip is None or clip.op_type != "Clip":
        return params
    low, high = (constant(input_of(clip, index)) for index in (1, 2))
    scale = np.float32(params.scale)
    codes = params.code_range
    for _ in range(4):
        ends = [np.float32(code - params.zero_point) * scale for code in codes]
        below = low is not None and ends[0] < low.reshape(())
        above = high is not None and ends[1] > high.reshape(())
        if not below and not above:
            break
        scale = np.nextafter(scale, np.float32(0))
    else:
        return params  # it is cut by more than rounding
    return replace(params, scale=float(scale))
