"""Finds where OpenVINO's CPU plug-in gives another result than a Q/DQ graph says.

Both faults are in its low-precision transformations (LPT), 2025.0 to 2026.4.1; their causes are in
OpenVINO's source, src/common/low_precision_transformations. The tests hold every rule to the
installed version.

1. `signed_quantizers`: an int8 Q becomes uint8 where a Convolution needs that (CPUs without AMX and
   AVX2-VNNI-2, which take int8). Where its first readers keep the precision and lead to a
   Convolution, the new step comes from an interval shared by all of them, and that is of the codes,
   -128 to 127, instead of real values (IntervalsAlignmentAttribute looks for the dequantization
   behind one Convert; a Q/DQ pair has two). The step is then 1.0 in real units, or, where that
   leaves two levels or fewer, the tensor stays in float. All this runs only in graphs that hold a
   Concat somewhere.
2. `padded_pools`: the dequantize moves behind an AveragePool without a look at its padding, so
   zeros are averaged in as code 0, which is not the value 0 where there is a zero point
   (AvgPoolTransformation). A constant that is added where the dequantize of an INT8 convolution has
   moved to, past a ReLU, a MaxPool or a channel shuffle, becomes such a zero point too; right
   behind the convolution it becomes its bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.openvino_lpt import (
    AFFINE,
    GONE,
    PRESERVING,
    SCALING,
    copies,
    has_constant,
    is_int8,
    joins,
    leading_to,
    needs_unsigned,
    pads_with_zeros,
    quantizer_of,
    read_by,
)
from edge_scnet.graph.operators import passes_scale
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    QUANTIZE,
    codes_type,
    constant,
    input_of,
    integer,
    is_constant,
    is_weight,
    quantizer,
)

if TYPE_CHECKING:
    import onnx_ir as ir

# What the dequantize, and with it the zero point, moves past. A Relu and a Pad with zeros keep it
# where it is.
_PASSES_ZERO = (PRESERVING | GONE | {"Clip"}) - {"Relu", "Pad"}
_RECTIFIERS = frozenset({"Relu", "LeakyRelu", "PRelu"})


def signed_quantizers(model: ir.Model) -> list[ir.Node]:
    """Returns the int8 Q whose values come out in steps of 1.0, or unquantized (fault 1)."""
    if not any(joins(node) for node in model.graph):
        return []
    aligning, unsigned = leading_to(model, _aligns), leading_to(model, needs_unsigned)
    hit: set[ir.Node] = set()
    for node in _aligned(model) & aligning:
        if node.op_type in PRESERVING:
            hit.update(filter(None, (quantizer_of(value) for value in node.inputs)))
    faulty = []
    for node in model.graph:
        if node.op_type != QUANTIZE or codes_type(node) != "INT8" or is_weight(node):
            continue
        # a Q behind a Concat, with a Relu between or not, is moved up in front of it
        # (MoveFakeQuantize)
        moved = _is_moved_before_concat(node) and read_by(node, aligning)
        if (node in hit or moved) and read_by(node, unsigned):
            faulty.append(node)
    return faulty


def padded_pools(model: ir.Model) -> list[ir.Node]:
    """Returns the AveragePools whose borders are wrong (fault 2)."""
    unsigned = leading_to(model, needs_unsigned)
    return [
        node
        for node in model.graph
        if node.op_type == "AveragePool"
        and _averages_zeros(node)
        and _is_shifted(_before_pad(node.inputs[0]) or node.inputs[0], unsigned)
    ]


def mixed_concats(model: ir.Model) -> list[ir.Node]:
    """Returns the Concats of unequal scales that a Convolution reads without a Q between.

    The Convolution runs in float.
    """
    reaching = leading_to(model, needs_unsigned)
    mixed = []
    for node in model.graph:
        if not joins(node) or node not in reaching:
            continue
        sources = [quantizer_of(value) for value in node.inputs]
        scales = [constant(input_of(source, 1)) for source in sources if source is not None]
        different = {scale.tobytes() for scale in scales if scale is not None}
        if len(scales) == len(sources) and len(different) > 1:
            mixed.append(node)
    return mixed


def _aligns(node: ir.Node) -> bool:
    """Whether LPT restricts the operation to one scale for its whole input."""
    return (
        node.op_type == "ConvTranspose"
        or (node.op_type == "Conv" and integer(node, "group", 1) == 1)
    ) and is_int8(node)


def _aligned(model: ir.Model) -> set[ir.Node]:
    """The nodes that share an interval.

    All their inputs come from a Q, or one comes from a node that shares an interval already.
    """
    aligned: set[ir.Node] = set()
    for node in model.graph:
        if node.op_type in GONE:
            if node.inputs[0] is not None and node.inputs[0].producer() in aligned:
                aligned.add(node)
        elif node.op_type in PRESERVING and not _folds_into_convolutions(node):
            data = [value for value in node.inputs if value is not None and not is_constant(value)]
            shared = any(value.producer() in aligned for value in data)
            if shared or (data and all(quantizer_of(value) is not None for value in data)):
                aligned.add(node)
    return aligned


def _is_moved_before_concat(quantize: ir.Node) -> bool:
    producer = _past(quantize.inputs[0], AFFINE)
    if producer is not None and producer.op_type == "Relu":
        producer = _past(producer.inputs[0], frozenset())
    if producer is None:
        return False
    if producer.op_type == DEQUANTIZE:
        # of a pair that was moved itself: then this Q is behind the Concat
        before = quantizer(producer)
        return before is not None and _is_moved_before_concat(before)
    readers = {use.node for use in producer.outputs[0].uses()}
    return joins(producer) and (len(readers) == 1 or readers == set(copies(quantize)))


def _past(value: ir.Value | None, kinds: frozenset[str]) -> ir.Node | None:
    """The producer behind operations of these kinds with a constant."""
    producer = value.producer() if value is not None else None
    while producer is not None and (
        producer.op_type in GONE or (producer.op_type in kinds and has_constant(producer))
    ):
        data = next((source for source in producer.inputs if not is_constant(source)), None)
        producer = data.producer() if data is not None else None
    return producer


def _folds_into_convolutions(node: ir.Node) -> bool:
    """Whether it is a Pad with zeros that only Conv reads: LPT does not see it (PadFusion)."""
    uses = node.outputs[0].uses()
    return (
        node.op_type == "Pad"
        and pads_with_zeros(node)
        and all(use.node.op_type == "Conv" for use in uses)
    )


def _before_pad(value: ir.Value | None) -> ir.Value | None:
    """The input of a Pad with zeros whose output only this pool reads.

    OpenVINO makes it the pool's own padding (PadFusion).
    """
    producer = value.producer() if value is not None else None
    if (
        producer is None
        or producer.op_type != "Pad"
        or not pads_with_zeros(producer)
        or len(producer.outputs[0].uses()) != 1
    ):
        return None
    return producer.inputs[0]


def adds_constant(value: ir.Value | None) -> bool:
    """Whether a constant was added to a tensor, past what picks, moves or scales values."""
    producer = value.producer() if value is not None else None
    if producer is None or producer.op_type in (QUANTIZE, DEQUANTIZE):
        return False
    if producer.op_type in AFFINE and has_constant(producer):
        sources = [source for source in producer.inputs if not is_constant(source)]
        return producer.op_type not in SCALING or any(map(adds_constant, sources))
    passes = PRESERVING | GONE | _RECTIFIERS | {"Clip"}
    return producer.op_type in passes and any(map(adds_constant, producer.inputs))


def _averages_zeros(pool: ir.Node) -> bool:
    """Whether a pool counts padding, its own or a Pad's.

    With dilations it is another operation to OpenVINO, and right.
    """
    dilations = pool.attributes.get("dilations")
    if dilations is not None and any(d != 1 for d in dilations.as_ints()):
        return False
    pads, automatic = pool.attributes.get("pads"), pool.attributes.get("auto_pad")
    padded = pads is not None and any(pads.as_ints())
    padded = padded or (automatic is not None and automatic.as_string().startswith("SAME"))
    return (
        bool(integer(pool, "count_include_pad", 0))
        if padded
        else _before_pad(pool.inputs[0]) is not None
    )


def _is_shifted(value: ir.Value | None, unsigned: set[ir.Node]) -> bool | None:
    """Whether the code of 0 is not 0 in a dequantized tensor when it is pooled.

    None: the tensor is not dequantized there.
    """
    producer = value.producer() if value is not None else None
    if producer is None:
        return None
    if producer.op_type == DEQUANTIZE:
        zero, source = constant(input_of(producer, 2)), quantizer(producer)
        if zero is not None and np.any(zero):
            # int8 -128 too: where it becomes uint8 0 the pool is right, but that depends on the CPU
            return True
        # int8 codes become uint8 with zero point 128 where a Convolution reads the same tensor, on
        # most CPUs
        return source is not None and codes_type(producer) == "INT8" and read_by(source, unsigned)
    if producer.op_type in AFFINE:
        sources = [value for value in producer.inputs if not is_constant(value)]
        shifts = [_is_shifted(source, unsigned) for source in sources]
        if len(sources) > 1:
            # the factor of one moves past a sum, and the other is divided by it
            return False if producer.op_type == "Add" and shifts != [None, None] else None
        moved = shifts[0] if shifts else None
        return moved if moved is None else moved or producer.op_type not in SCALING
    return _shift_past(producer, value, unsigned)


def _shift_past(producer: ir.Node, value: ir.Value | None, unsigned: set[ir.Node]) -> bool | None:
    """`_is_shifted` of what a node gives that a dequantize may move past."""
    if producer.op_type == "Pad" and not _fills(producer):
        return _moved_shift(producer.inputs[0], unsigned)
    if producer.op_type in _RECTIFIERS or producer.op_type == "Pad":
        # a factor moves past them, a zero point does not
        return False if _moved_shift(producer.inputs[0], unsigned) is False else None
    if producer.op_type not in _PASSES_ZERO or (
        producer.op_type == "Resize" and not passes_scale(producer)
    ):
        return None
    if producer.op_type == "Concat":
        if integer(producer, "axis", 1) not in (1, 1 - _rank(value)):
            return None  # only along channels does the dequantize move
        shifts = [_is_shifted(source, unsigned) for source in producer.inputs]
        return None if None in shifts else any(shifts)
    source = producer.inputs[0]
    if producer.op_type == "AveragePool":
        source = _before_pad(source) or source
    if producer.op_type == "Clip":
        # not of a convolution: its factors differ by channel
        return _is_shifted(source, unsigned)
    return _moved_shift(source, unsigned)


def _fills(pad: ir.Node) -> bool:
    """Whether a Pad adds a value of its own, and not a tensor's."""
    mode = pad.attributes.get("mode")
    return mode is None or mode.as_string() == "constant"


def _moved_shift(value: ir.Value | None, unsigned: set[ir.Node]) -> bool | None:
    """What `_is_shifted` says, and False for an INT8 convolution, whose factors move."""
    shift = _is_shifted(value, unsigned)
    return False if shift is None and _is_int8_layer(value) else shift


def _is_int8_layer(value: ir.Value | None) -> bool:
    """Whether a convolution with codes on both sides gives this tensor.

    A constant that is added, or a factor, may lie between: both become the convolution's own.
    """
    producer = _past(value, AFFINE)
    return (
        producer is not None
        and producer.op_type in ("Conv", "ConvTranspose")
        and is_int8(producer)
        and quantizer_of(producer.inputs[0]) is not None
    )


def _rank(value: ir.Value | None) -> int:
    return 0 if value is None or value.shape is None else len(value.shape)
