"""Rule of INT32 biases: their codes are the quantizer's, not clipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.lint.finding import LintFinding, LintOptions, error
from edge_scnet.graph.operators import producer_type
from edge_scnet.graph.pairs import DEQUANTIZE, constant, input_of

if TYPE_CHECKING:
    import onnx_ir as ir

_LAYERS = ("Conv", "ConvTranspose", "Gemm")
_LARGEST = 2**31 - 1


def biases(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks that no INT32 bias is clipped at the largest number that INT32 holds.

    Its scale is the input's times the weights'. Channels that batch normalisation has all but
    switched off have tiny weights and so a tiny scale, in which their bias does not fit: the layer
    then adds another value, whatever the runtime. ONNX Runtime before 1.20 writes such files.
    """
    for node in model.graph:
        value = input_of(node, 2) if node.op_type in _LAYERS else None
        dequantize = value.producer() if value is not None else None
        if dequantize is None or producer_type(value) != DEQUANTIZE:
            continue
        codes, scale = constant(input_of(dequantize, 0)), constant(input_of(dequantize, 1))
        if codes is None or scale is None or codes.dtype != np.int32:
            continue
        clipped = np.abs(codes.reshape(-1).astype(np.int64)) >= _LARGEST
        if not clipped.any():
            continue
        largest = float(
            (_LARGEST * np.broadcast_to(scale.reshape(-1), clipped.shape))[clipped].min()
        )
        yield error(
            "clipped-bias",
            node,
            f"the INT32 bias of {int(clipped.sum())} of its {clipped.size} channels is clipped: the"
            f" smallest of their scales reaches to {largest:.2g} only",
            "leave the bias in float (QuantizeBias=False), or quantize again with ONNX Runtime 1.20"
            " or newer",
        )
