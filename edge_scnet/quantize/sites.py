"""Where Q/DQ go in a graph: the records, and what the schemes' placements share."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_scnet.graph.operators import output_axis, producer_type, weight_of
from edge_scnet.quantize.params import Codes, QuantParams, activation_params
from edge_scnet.quantize.statistics import Ranges
from edge_scnet.quantize.thresholds import thresholds

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

# A classifier this small stays in float: on scnet20 it takes 640 of 31 M multiply-adds, and its
# input's rounding alone was 12 % of the noise at the logits. With more weights reading them costs
# time (2,048 x 1,000: 6 MB less in INT8).
_SMALL_HEAD_WEIGHTS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSite:
    """A weight tensor to quantize per channel along `axis`."""

    node: str
    tensor: str
    axis: int
    # A matrix: no kernel.
    linear: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationSite:
    """A tensor that gets one Q/DQ pair."""

    tensor: str
    params: QuantParams
    # The nodes that go on reading the float tensor; all others read the DQ's output.
    float_consumers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """All Q/DQ of one graph, and the nodes that must then execute in INT8."""

    activations: tuple[ActivationSite, ...]
    weights: tuple[WeightSite, ...]
    int8_nodes: tuple[str, ...]


def quantized_nodes(model: ir.Model, scheme: QuantScheme) -> list[ir.Node]:
    """Returns the convolutions and linear layers that are to execute in INT8, in order."""
    return [
        node
        for node in model.graph
        if weight_of(node) is not None
        and not _kept_float(node, scheme.keep_float)
        and not _is_small_head(node)
    ]


def _is_small_head(node: ir.Node) -> bool:
    weights = weight_of(node)
    return (
        node.op_type == "Gemm"
        and node.outputs[0].is_graph_output()
        and weights is not None
        and weights.size <= _SMALL_HEAD_WEIGHTS
    )


def _kept_float(node: ir.Node, patterns: tuple[str, ...]) -> bool:
    # a module used twice has nodes "fc" and "fc#2"
    name = (node.name or "").partition("#")[0]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def weight_site(node: ir.Node) -> WeightSite:
    """Returns the weights of a convolution or linear layer as a site."""
    weight = node.inputs[1]
    assert weight is not None
    return WeightSite(
        node=str(node.name),
        tensor=str(weight.name),
        axis=output_axis(node),
        linear=node.op_type == "Gemm",
    )


def site_params(value: ir.Value, ranges: Ranges, scheme: QuantScheme, dtype: Codes) -> QuantParams:
    """Returns the parameters of an activation, by its statistics and the scheme's thresholds."""
    if producer_type(value) == "Sigmoid":
        return activation_params(0.0, 1.0, dtype=dtype)  # known without calibration
    stats = ranges.tensors[str(value.name)]
    return activation_params(
        *thresholds(stats, scheme.thresholds, scheme.percentile, dtype=dtype), dtype=dtype
    )


def int8_source(value: ir.Value | None, int8: set[int]) -> bool:
    """Tells whether an INT8 layer gives this tensor, directly or through Relu and Add.

    Its kernel can then write the codes.

    Args:
        int8: the ids of the layers' nodes.
    """
    producer = value.producer() if value is not None else None
    if producer is None:
        return False
    if producer.op_type in ("Relu", "Add"):
        return any(int8_source(source, int8) for source in producer.inputs)
    return id(producer) in int8
