"""Where Q/DQ go in a graph: the records, and what the schemes' placements share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_scnet.errors import DataError
from edge_scnet.graph.operators import COMPUTE_OPS, LINEAR_OPS, output_axis, producer_type
from edge_scnet.quantizer.coverage import float_reason
from edge_scnet.quantizer.params import Codes, QuantParams, activation_params
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.quantizer.thresholds import thresholds

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

# What runtimes compute in the kernel of the layer in front.
FUSED = ("Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "Add")


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


def quantized_nodes(
    model: ir.Model, scheme: QuantScheme, keep_float: Collection[str] = ()
) -> list[ir.Node]:
    """Returns the layers that are to execute in INT8, in order.

    Args:
        keep_float: names of nodes that are not, besides those of the scheme's patterns.
    """
    return [
        node
        for node in model.graph
        if node.op_type in COMPUTE_OPS
        and node.name not in keep_float
        and float_reason(node, model, scheme) is None
    ]


def weight_site(node: ir.Node) -> WeightSite:
    """Returns the weights of a layer as a site."""
    weight = node.inputs[1]
    assert weight is not None
    return WeightSite(
        node=str(node.name),
        tensor=str(weight.name),
        axis=output_axis(node),
        linear=node.op_type in LINEAR_OPS,
    )


def site_params(value: ir.Value, ranges: Ranges, scheme: QuantScheme, dtype: Codes) -> QuantParams:
    """Returns the parameters of an activation, by its statistics and the scheme's thresholds.

    Raises:
        DataError: the tensor was NaN or infinite on a calibration image.
    """
    if producer_type(value) == "Sigmoid":
        return activation_params(0.0, 1.0, dtype=dtype)  # known without calibration
    if value.name in ranges.not_finite:
        raise _not_finite(value)
    stats = ranges.tensors[str(value.name)]
    if stats.minimum == stats.maximum == 0.0:
        # a branch that never fires: zero on any scale, and this one can be written in FP16 too
        return activation_params(0.0, 1.0, dtype=dtype)
    return activation_params(
        *thresholds(stats, scheme.thresholds, scheme.percentile, dtype=dtype), dtype=dtype
    )


def _not_finite(value: ir.Value) -> DataError:
    readers = sorted(
        {str(use.node.name) for use in value.uses() if use.node.op_type in COMPUTE_OPS}
    )
    return DataError(
        f"the float model gives NaN or infinity on a calibration image, in {str(value.name)!r},"
        " which is to be quantized",
        hint=(
            "check the weights, and --mean and --std: edge-scnet export shows the parity alone; or"
            f" keep what reads it in float: quant.keep_float = {readers or ['MODULE']}"
        ),
    )


def int8_source(value: ir.Value | None, int8: set[int]) -> bool:
    """Tells whether an INT8 layer gives this tensor, directly or through what fuses into it.

    Its kernel can then write the codes.

    Args:
        int8: the ids of the layers' nodes.
    """
    producer = value.producer() if value is not None else None
    if producer is None:
        return False
    if producer.op_type in FUSED:
        return any(int8_source(source, int8) for source in producer.inputs)
    return id(producer) in int8
