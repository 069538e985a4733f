"""Where Q/DQ go for OpenVINO.

The rules follow measurements on one SCBottleneck (56x56, width 128; AVX512-VNNI, one thread), in ms
and SQNR against float. Each with what it buys there:

- inputs of every layer (Conv, ConvTranspose, Gemm, MatMul), and with them the one uint8 Q after
  the Concat (BASE: 13.44 ms, 33.7 dB);
- input of an average pool behind a ReLU ("avd"), none between pool and Concat: 11.44 against 11.62
  ms in float;
- variant "fast" adds the convolution outputs that feed a Resize (k2), a gate's product (k3) and a
  residual Add (conv3, whose sum then fuses into its kernel): 12.83 ms, 32.9 dB, 10.5 instead of
  19.4 MB written;
- signed codes with zero point 0 on a tensor with negative values that only transposed convolutions
  read, or products behind a Concat: with another zero point the former run in float, the latter
  may not be compiled (2026.4.1, AVX2);
- never: the sigmoid's output, the Resize's output, both inputs of the product (slower, no more
  accurate).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_scnet.graph.operators import (
    LINEAR_OPS,
    is_spatial_mean,
    pads_average_with_zeros,
    passes_scale,
    producer_type,
    rank_of,
)
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


def place_openvino(
    model: ir.Model, ranges: Ranges, scheme: QuantScheme, layers: Sequence[ir.Node]
) -> Placement:
    """Returns the placement for OpenVINO: asymmetric uint8 activations.

    Args:
        layers: those that are to execute in INT8.
    """
    sites = []
    int8 = {id(node) for node in layers}
    for name, value in _wanted(model, layers, fast=scheme.variant == "fast").items():
        params = site_params(value, ranges, scheme, "uint8")
        if params.zero_point != 0 and (others := _beside_signed(value, int8)) is not None:
            sites.append(
                ActivationSite(
                    tensor=name,
                    params=site_params(value, ranges, scheme, "int8"),
                    float_consumers=others,
                )
            )
            continue
        # a padded average pool behind a zero point other than 0 gets wrong borders in OpenVINO: it
        # reads the float tensor
        keep = tuple(
            str(use.node.name)
            for use in value.uses()
            if params.zero_point != 0 and _reaches_padded_pool(use.node)
        )
        sites.append(ActivationSite(tensor=name, params=params, float_consumers=keep))
    return Placement(
        activations=tuple(sites),
        weights=tuple(weight_site(node) for node in layers),
        int8_nodes=tuple(str(node.name) for node in layers),
    )


def _wanted(model: ir.Model, layers: Sequence[ir.Node], *, fast: bool) -> dict[str, ir.Value]:
    """The tensors that get a pair, by name and in the order of the rules."""
    wanted: dict[str, ir.Value] = {}
    for node in layers:
        _want(wanted, node.inputs[0])
    int8 = {id(node) for node in layers}
    for node in model.graph:
        # a mean over other axes, as a normalisation has it, needs more than 8 bits
        pools = (
            node.op_type == "GlobalAveragePool"
            or is_spatial_mean(node)
            or (node.op_type == "AveragePool" and producer_type(node.inputs[0]) in ("Relu", "Clip"))
        )
        if pools and int8_source(node.inputs[0], int8):
            _want(wanted, node.inputs[0])
    if fast:
        for node in layers:
            output = node.outputs[0]
            uses = tuple(output.uses())
            if len(uses) == 1 and _int8_gains(uses[0].node, output, wanted, int8):
                _want(wanted, output)
    return wanted


def _beside_signed(value: ir.Value, int8: set[int]) -> tuple[str, ...] | None:
    """The nodes that read a tensor besides INT8 layers for which its codes must be signed.

    OpenVINO computes transposed convolutions in float where the zero point is not 0, and takes
    signed codes; a product over another axis than that of a Concat in front of it it does not
    compile. What else reads the tensor then reads float: signed codes must not reach a Concat.

    Returns:
        None where no such layer reads it, or another INT8 layer does.
    """
    signed, others = False, []
    for use in value.uses():
        kinds = _layers_behind(use.node, int8)
        if not kinds:
            others.append(str(use.node.name))
        elif kinds == {"ConvTranspose"} or (
            kinds <= frozenset(LINEAR_OPS) and _joins_another_axis(value.producer())
        ):
            signed = True
        else:
            return None
    return tuple(others) if signed else None


def _layers_behind(node: ir.Node, int8: set[int]) -> frozenset[str]:
    """The operators of the INT8 layers that read a node's result: its own, or past moves."""
    if id(node) in int8:
        return frozenset({node.op_type})
    if not passes_scale(node):
        return frozenset()
    uses = [use for output in node.outputs for use in output.uses() if use.idx == 0]
    return frozenset().union(*(_layers_behind(use.node, int8) for use in uses))


def _joins_another_axis(node: ir.Node | None) -> bool:
    """Whether it is a Concat along another axis than the last."""
    if node is None or node.op_type != "Concat":
        return False
    return node.attributes["axis"].as_int() not in (-1, rank_of(node.outputs[0]) - 1)


def _want(wanted: dict[str, ir.Value], value: ir.Value | None) -> None:
    """Adds a tensor, moved up through operators that only pick or move values.

    The scale is the same there.
    """
    while (
        value is not None and (producer := value.producer()) is not None and passes_scale(producer)
    ):
        value = producer.inputs[0]
    if value is not None and value.name:
        wanted[value.name] = value


def _int8_gains(
    consumer: ir.Node, output: ir.Value, wanted: dict[str, ir.Value], int8: set[int]
) -> bool:
    """Whether a layer's output is at one of the three places of the fast variant.

    They are before a Resize, a gate's product and a residual Add.
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
