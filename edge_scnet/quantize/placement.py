"""Where Q/DQ go, by scheme: pure decisions on the graph and the statistics, no I/O, nothing
written.

The `openvino` scheme follows measurements on one SCBottleneck (56x56, width 128; AVX512-VNNI, one
thread), in ms and SQNR against float. Its rules, each with what it buys there:

- inputs of every Conv and Gemm, and with them the one uint8 Q after the Concat (BASE: 13.44 ms,
  33.7 dB);
- input of an average pool behind a ReLU ("avd"), none between pool and Concat: 11.44 against 11.62
  ms in float;
- variant "fast" adds the convolution outputs that feed a Resize (k2), a gate's product (k3) and a
  residual Add (conv3, whose sum then fuses into its kernel): 12.83 ms, 32.9 dB, 10.5 instead of
  19.4 MB written;
- never: the sigmoid's output, the Resize's output, both inputs of the product (slower, no more
  accurate).
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_scnet.errors import TargetError
from edge_scnet.graph.operators import (
    COMPUTE_OPS,
    is_spatial_mean,
    output_axis,
    pads_average_with_zeros,
    passes_scale,
    producer_type,
    weight_of,
)
from edge_scnet.quantize.statistics import Ranges
from edge_scnet.quantize.thresholds import QuantParams, activation_params, thresholds

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
    linear: bool  # a matrix: no kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationSite:
    """A tensor that gets one Q/DQ pair; consumers not in `float_consumers` read the DQ's output."""

    tensor: str
    params: QuantParams
    float_consumers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """All Q/DQ of one graph, and the nodes that must then execute in INT8."""

    activations: tuple[ActivationSite, ...]
    weights: tuple[WeightSite, ...]
    int8_nodes: tuple[str, ...]


def place(model: ir.Model, ranges: Ranges, scheme: QuantScheme) -> Placement:
    """Decides placement and parameters for a scheme; the scheme names the rules.

    Raises:
        TargetError: a `keep_float` pattern that matches nothing.
    """
    _check_patterns(model, scheme.keep_float)
    return {"openvino": _place_openvino, "tensorrt": _place_tensorrt}[scheme.placement](
        model, ranges, scheme
    )


def _place_openvino(model: ir.Model, ranges: Ranges, scheme: QuantScheme) -> Placement:
    compute = _quantized_nodes(model, scheme)
    wanted: dict[str, ir.Value] = {}
    for node in compute:
        _want(wanted, node.inputs[0])
    int8 = {id(node) for node in compute}
    for node in model.graph:
        if (
            node.op_type == "AveragePool"
            and producer_type(node.inputs[0]) == "Relu"
            and _int8_source(node.inputs[0], int8)
        ):
            _want(wanted, node.inputs[0])
        if node.op_type in ("ReduceMean", "GlobalAveragePool") and _int8_source(
            node.inputs[0], int8
        ):
            _want(wanted, node.inputs[0])
    if scheme.variant == "fast":
        for node in compute:
            output = node.outputs[0]
            uses = tuple(output.uses())
            if len(uses) == 1 and _int8_gains(uses[0].node, output, wanted, int8):
                _want(wanted, output)

    sites = []
    for name, value in wanted.items():
        params = _params(value, ranges, scheme, "uint8")
        # a padded average pool behind a zero point other than 0 gets wrong borders in OpenVINO: it
        # reads the float tensor
        keep = tuple(
            str(u.node.name)
            for u in value.uses()
            if params.zero_point != 0 and _reaches_padded_pool(u.node)
        )
        sites.append(ActivationSite(tensor=name, params=params, float_consumers=keep))
    return Placement(
        activations=tuple(sites),
        weights=tuple(_weight_site(node) for node in compute),
        int8_nodes=tuple(str(node.name) for node in compute),
    )


def _place_tensorrt(model: ir.Model, ranges: Ranges, scheme: QuantScheme) -> Placement:
    """TensorRT's explicit quantization: signed, symmetric, zero point 0, bias float.

    Inputs of Conv, Gemm and the average pools (which do not commute with Q/DQ: in float they cost a
    copy each), never their outputs: what follows a convolution fuses into it. Of a residual Add the
    skip side only, so that the convolution's side fuses with the sum into one INT8 kernel. After a
    Concat one Q/DQ, whose inputs then take its scale. The gate: the Resize side of its Add and both
    inputs of its product, the sigmoid in float. Rules and figures: NVIDIA's for ResNet-18 on an
    A100 (0.883 ms without residual Q/DQ, 0.546 with), and what ModelOpt 0.47 does to SCNet-50.
    """
    compute = _quantized_nodes(model, scheme)
    int8 = {id(node) for node in compute}
    depth = _depths(model)
    # a tensor may be quantized for one consumer and stay float for another
    readers: dict[str, dict[str, None]] = {}
    values: dict[str, ir.Value] = {}

    def want(value: ir.Value | None, node: ir.Node) -> None:
        while (
            value is not None
            and (producer := value.producer()) is not None
            and passes_scale(producer)
        ):
            node, value = producer, producer.inputs[0]
        if value is not None and value.name:
            values[value.name] = value
            readers.setdefault(value.name, {})[str(node.name)] = None

    for node in compute:
        want(node.inputs[0], node)
    for node in model.graph:
        source = node.inputs[0] if node.inputs else None
        if node.op_type in ("AveragePool", "GlobalAveragePool") or is_spatial_mean(node):
            if _int8_source(source, int8):
                want(source, node)
        elif node.op_type == "Add" and (skip := _skip_side(node, int8, depth)) is not None:
            want(skip, node)
        elif (
            node.op_type == "Mul"
            and _is_gate(node)
            and any(id(use.node) in int8 for use in node.outputs[0].uses())
        ):
            for value in node.inputs:
                want(value, node)
    sites = []
    for name, value in values.items():
        consumers = {str(use.node.name) for use in value.uses()}
        sites.append(
            ActivationSite(
                tensor=name,
                params=_params(value, ranges, scheme, "int8"),
                float_consumers=tuple(sorted(consumers - readers[name].keys())),
            )
        )
    return Placement(
        activations=tuple(sites),
        weights=tuple(_weight_site(node) for node in compute),
        int8_nodes=tuple(str(node.name) for node in compute),
    )


def _skip_side(node: ir.Node, int8: set[int], depth: Mapping[str, int]) -> ir.Value | None:
    """The skip input of an Add of two computed tensors: the one with fewer convolutions before it;
    of a gate the Resize.

    None where no INT8 convolution is there to fuse with the sum.
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
    """A product with a sigmoid."""
    return any(producer_type(value) == "Sigmoid" for value in node.inputs)


def _params(
    value: ir.Value, ranges: Ranges, scheme: QuantScheme, dtype: Literal["uint8", "int8"]
) -> QuantParams:
    if producer_type(value) == "Sigmoid":
        return activation_params(0.0, 1.0, dtype=dtype)  # known without calibration
    stats = ranges.tensors[str(value.name)]
    return activation_params(
        *thresholds(stats, scheme.thresholds, scheme.percentile, dtype=dtype), dtype=dtype
    )


def _quantized_nodes(model: ir.Model, scheme: QuantScheme) -> list[ir.Node]:
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


def _check_patterns(model: ir.Model, patterns: tuple[str, ...]) -> None:
    names = [
        (node.name or "").partition("#")[0] for node in model.graph if node.op_type in COMPUTE_OPS
    ]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            near = difflib.get_close_matches(pattern, names, n=3) or names[:3]
            raise TargetError(
                f"quant.keep_float: {pattern!r} matches no convolution or linear layer",
                hint=f"module names are like {', '.join(near)}",
            )


def _reaches_padded_pool(node: ir.Node) -> bool:
    """Whether zeros are averaged in here, or behind operators that pass the zero point on."""
    if pads_average_with_zeros(node):
        return True
    pads = node.op_type == "Pad"
    if not pads and not passes_scale(node):
        return False
    uses = node.outputs[0].uses()
    return any(
        (pads and use.node.op_type == "AveragePool") or _reaches_padded_pool(use.node)
        for use in uses
    )


def _weight_site(node: ir.Node) -> WeightSite:
    weight = node.inputs[1]
    assert weight is not None
    return WeightSite(
        node=str(node.name),
        tensor=str(weight.name),
        axis=output_axis(node),
        linear=node.op_type == "Gemm",
    )


def _want(wanted: dict[str, ir.Value], value: ir.Value | None) -> None:
    """Marks a tensor, moved up through operators that only pick or move values: there the scale is
    the same.
    """
    while (
        value is not None and (producer := value.producer()) is not None and passes_scale(producer)
    ):
        value = producer.inputs[0]
    if value is not None and value.name:
        wanted[value.name] = value


def _int8_source(value: ir.Value | None, int8: set[int]) -> bool:
    """Whether an INT8 convolution gives this tensor, directly or through Relu and Add: its kernel
    can write uint8.
    """
    producer = value.producer() if value is not None else None
    if producer is None:
        return False
    if producer.op_type in ("Relu", "Add"):
        return any(_int8_source(source, int8) for source in producer.inputs)
    return id(producer) in int8


def _int8_gains(
    consumer: ir.Node, output: ir.Value, wanted: dict[str, ir.Value], int8: set[int]
) -> bool:
    """The fast variant's three places for a convolution's output: before a Resize, a gate's
    product, a residual Add.
    """
    if consumer.op_type == "Resize":
        return passes_scale(consumer)
    if consumer.op_type not in ("Mul", "Add"):
        return False
    other = next((value for value in consumer.inputs if value is not output), None)
    if consumer.op_type == "Mul":
        return producer_type(other) == "Sigmoid"
    producer = other.producer() if other is not None else None
    return other is not None and (
        other.name in wanted or (producer is not None and id(producer) in int8)
    )
