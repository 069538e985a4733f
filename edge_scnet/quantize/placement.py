"""Where Q/DQ go, by scheme: pure decisions on the graph and the statistics, no I/O, nothing written.

The `openvino` scheme follows measurements on one SCBottleneck (56x56, width 128; AVX512-VNNI, one thread), in ms and
SQNR against float. Its rules, each with what it buys there:

- inputs of every Conv and Gemm, and with them the one uint8 Q after the Concat (BASE: 13.44 ms, 33.7 dB);
- input of an average pool behind a ReLU ("avd"), none between pool and Concat: 11.44 against 11.62 ms in float;
- variant "fast" adds the convolution outputs that feed a Resize (k2), a gate's product (k3) and a residual Add
  (conv3, whose sum then fuses into its kernel): 12.83 ms, 32.9 dB, 10.5 instead of 19.4 MB written;
- never: the sigmoid's output, the Resize's output, both inputs of the product (slower, no more accurate).
"""

from __future__ import annotations

import difflib
import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_scnet.errors import TargetError
from edge_scnet.quantize.graph import pads_average_with_zeros, passes_scale, producer_type
from edge_scnet.quantize.ranges import QuantParams, thresholds, uint8_params
from edge_scnet.quantize.statistics import Ranges

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.target import QuantScheme

COMPUTE_OPS = ("Conv", "Gemm")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSite:
    """A weight tensor to quantize per channel along `axis`."""

    node: str
    tensor: str
    axis: int


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
    return {"openvino": _place_openvino}[scheme.placement](model, ranges, scheme)


def _place_openvino(model: ir.Model, ranges: Ranges, scheme: QuantScheme) -> Placement:
    _check_patterns(model, scheme.keep_float)
    compute = [node for node in model.graph if _is_quantizable(node) and not _kept_float(node, scheme.keep_float)]
    wanted: dict[str, ir.Value] = {}
    for node in compute:
        _want(wanted, node.inputs[0])
    int8 = {id(node) for node in compute}
    for node in model.graph:
        if node.op_type == "AveragePool" and producer_type(node.inputs[0]) == "Relu" and _int8_source(node.inputs[0], int8):
            _want(wanted, node.inputs[0])
        if node.op_type in ("ReduceMean", "GlobalAveragePool") and _int8_source(node.inputs[0], int8):
            _want(wanted, node.inputs[0])
    if scheme.variant == "fast":
        for node in compute:
            output = node.outputs[0]
            uses = tuple(output.uses())
            if len(uses) == 1 and _int8_gains(uses[0].node, output, wanted, int8):
                _want(wanted, output)

    sites = []
    for name, value in wanted.items():
        if producer_type(value) == "Sigmoid":
            params = uint8_params(0.0, 1.0)  # known without calibration
        else:
            params = uint8_params(*thresholds(ranges.tensors[name], scheme.thresholds, scheme.percentile))
        # a padded average pool behind a zero point other than 0 gets wrong borders in OpenVINO: it reads the float tensor
        keep = tuple(str(u.node.name) for u in value.uses() if params.zero_point != 0 and _reaches_padded_pool(u.node))
        sites.append(ActivationSite(tensor=name, params=params, float_consumers=keep))
    return Placement(
        activations=tuple(sites),
        weights=tuple(WeightSite(node=str(n.name), tensor=_weight_name(n), axis=_weight_axis(n)) for n in compute),
        int8_nodes=tuple(str(node.name) for node in compute),
    )


def _is_quantizable(node: ir.Node) -> bool:
    if node.op_type not in COMPUTE_OPS:
        return False
    data, weight = node.inputs[:2]
    computed = data is not None and not data.is_initializer() and producer_type(data) != "Constant"
    return computed and weight is not None and weight.is_initializer()


def _kept_float(node: ir.Node, patterns: tuple[str, ...]) -> bool:
    # a module used twice has nodes "fc" and "fc#2"
    name = (node.name or "").partition("#")[0]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _check_patterns(model: ir.Model, patterns: tuple[str, ...]) -> None:
    names = [(node.name or "").partition("#")[0] for node in model.graph if node.op_type in COMPUTE_OPS]
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
    return any((pads and use.node.op_type == "AveragePool") or _reaches_padded_pool(use.node) for use in uses)


def _weight_name(node: ir.Node) -> str:
    weight = node.inputs[1]
    assert weight is not None
    return str(weight.name)


def _weight_axis(node: ir.Node) -> int:
    """The output channel: axis 0 of a Conv, of a Gemm with transB axis 0 and without axis 1."""
    transposed = node.attributes.get("transB")
    return 0 if node.op_type == "Conv" or (transposed is not None and transposed.as_int()) else 1


def _want(wanted: dict[str, ir.Value], value: ir.Value | None) -> None:
    """Marks a tensor, moved up through operators that only pick or move values: there the scale is the same."""
    while value is not None and (producer := value.producer()) is not None and passes_scale(producer):
        value = producer.inputs[0]
    if value is not None and value.name:
        wanted[value.name] = value


def _int8_source(value: ir.Value | None, int8: set[int]) -> bool:
    """Whether an INT8 convolution gives this tensor, directly or through Relu and Add: its kernel can write uint8."""
    producer = value.producer() if value is not None else None
    if producer is None:
        return False
    if producer.op_type in ("Relu", "Add"):
        return any(_int8_source(source, int8) for source in producer.inputs)
    return id(producer) in int8


def _int8_gains(consumer: ir.Node, output: ir.Value, wanted: dict[str, ir.Value], int8: set[int]) -> bool:
    """The fast variant's three places for a convolution's output: before a Resize, a gate's product, a residual Add."""
    if consumer.op_type == "Resize":
        return passes_scale(consumer)
    if consumer.op_type not in ("Mul", "Add"):
        return False
    other = next((value for value in consumer.inputs if value is not output), None)
    if consumer.op_type == "Mul":
        return producer_type(other) == "Sigmoid"
    producer = other.producer() if other is not None else None
    return other is not None and (other.name in wanted or (producer is not None and id(producer) in int8))
