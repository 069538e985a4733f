"""Rules of OpenVINO: what it miscompiles, and what it runs in float without a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_scnet.graph import openvino_faults
from edge_scnet.graph.lint.finding import LintFinding, LintOptions, error, warning
from edge_scnet.graph.pairs import codes_type, is_weight, pairs

if TYPE_CHECKING:
    import onnx_ir as ir


def openvino(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks for the two faults of `openvino_faults`, unequal scales that meet, and code types."""
    for node in openvino_faults.signed_quantizers(model):
        yield error(
            "signed-codes",
            node,
            "OpenVINO takes the range of its int8 codes for real values: steps of 1.0, or float",
            "uint8 codes with the zero point raised by 128 (the same values); after ReLU zero"
            " point 0",
        )
    for node in openvino_faults.padded_pools(model):
        yield error(
            "padded-pool",
            node,
            "OpenVINO averages its padding as code 0, which is not the value 0 of this tensor",
            "zero point 0 in front of it (uint8 after ReLU), or a depthwise convolution with equal"
            " weights",
        )
    for node in openvino_faults.mixed_concats(model):
        yield warning(
            "mixed-scales",
            node,
            "its inputs have several scales: the convolution behind it runs in float",
            "one Q behind the Concat, or one scale for all its inputs",
        )
    for node in pairs(model):
        kind = codes_type(node)
        if kind not in ("INT8", "UINT8") and not (kind == "INT32" and is_weight(node)):
            yield warning("type", node, f"{kind} codes run in float", "int8 or uint8 codes")
