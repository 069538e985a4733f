"""What quantization needs to know of ONNX operators: which pass a scale on, which pad with zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def passes_scale(node: ir.Node) -> bool:
    """Whether it only picks or moves values, so that its output has its input's scale: no Q is needed behind it."""
    if node.op_type == "Resize":
        mode = node.attributes.get("mode")
        return mode is None or mode.as_string() == "nearest"  # nearest is ONNX's default
    return node.op_type in ("MaxPool", "Reshape", "Flatten", "Identity", "Transpose", "Squeeze", "Unsqueeze")


def pads_average_with_zeros(node: ir.Node) -> bool:
    """An AveragePool that counts its padding."""
    if node.op_type != "AveragePool":
        return False
    pads, include = node.attributes.get("pads"), node.attributes.get("count_include_pad")
    return pads is not None and any(pads.as_ints()) and include is not None and bool(include.as_int())


def producer_type(value: ir.Value | None) -> str | None:
    producer = value.producer() if value is not None else None
    return None if producer is None else producer.op_type
