"""Rules of ONNX Runtime's CPU provider: what it would run in float without a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_scnet.graph.lint.finding import LintFinding, LintOptions, warning
from edge_scnet.graph.operators import producer_type, result_of
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    QUANTIZE,
    codes_type,
    input_of,
    is_weight,
    pairs,
)

if TYPE_CHECKING:
    import onnx_ir as ir


def onnxruntime(model: ir.Model, options: LintOptions) -> Iterator[LintFinding]:
    """Checks that each quantized convolution has a Q behind it, and the types of the codes.

    Its optimiser makes a QLinearConv of DQ, Conv, Q alone; a Relu or Clip may lie in front of that
    Q where the range of the codes makes it redundant.
    """
    for node in model.graph:
        if (
            node.op_type == "Conv"
            and producer_type(input_of(node, 0)) == DEQUANTIZE
            and not options.is_kept_float(node)
            and not _goes_to_one_quantize(node)
        ):
            yield warning(
                "no-quantize-behind",
                node,
                "it runs in float: its result does not go to one Q alone",
                "Q and DQ behind it (a Relu or Clip between them is folded), and nothing else that"
                " reads its result",
            )
    for node in pairs(model):
        kind = codes_type(node)
        if kind not in ("INT8", "UINT8") and not (kind == "INT32" and is_weight(node)):
            yield warning("type", node, f"{kind} codes run in float", "int8 or uint8 codes")


def _goes_to_one_quantize(node: ir.Node) -> bool:
    output = result_of(node)
    uses = tuple(output.uses())
    return len(uses) == 1 and not output.is_graph_output() and uses[0].node.op_type == QUANTIZE
