"""Takes the stride out of convolutions of one point, for OpenVINO.

OpenVINO moves such a stride up, as a pool, as far as it goes: between the two halves of the
dequantize in front of the convolution, which then runs in float, and its weights are dequantized in
every run (2026.4.1; the first block of every stage of ResNet, as it was published first). A pool of
one point in front of the convolution computes the same, and runs on codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_scnet.core.optional import require
from edge_scnet.graph.operators import weight_of

if TYPE_CHECKING:
    import onnx_ir as ir


def stride_outside(model: ir.Model) -> ir.Model:
    """Returns the graph with a MaxPool of one point in front of such convolutions.

    Only where all that reads a tensor is of that kind, with one stride: elsewhere OpenVINO moves
    nothing. A graph that has none is returned as it is.
    """
    if not _tensors(model):
        return model
    ir_module = require("onnx_ir", extra="quantize")
    result = model.clone()
    for value, strides in _tensors(result):
        readers = [use.node for use in value.uses()]
        pool = ir_module.node(
            "MaxPool",
            [value],
            attributes={"kernel_shape": [1] * len(strides), "strides": list(strides)},
            name=f"{readers[0].name}/strided",
        )
        output = pool.outputs[0]
        output.name, output.type = f"{readers[0].name}/strided", value.type
        if (shape := value.shape) is not None:
            steps = (1, 1, *strides)
            output.shape = ir_module.Shape(
                [
                    -(-d // s) if isinstance(d, int) else None
                    for d, s in zip(shape, steps, strict=True)
                ]
            )
        first = min(readers, key=list(result.graph).index)
        result.graph.insert_before(first, pool)
        for node in readers:
            node.replace_input_with(0, output)
            node.attributes["strides"] = ir_module.AttrInt64s("strides", [1] * len(strides))
    return result


def _tensors(model: ir.Model) -> list[tuple[ir.Value, tuple[int, ...]]]:
    """The tensors that only strided convolutions of one point read, with their stride."""
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    found = []
    for value in values:
        strides = {
            _stride(use.node) if use.idx == 0 and use.node.graph is model.graph else None
            for use in value.uses()
        }
        stride = next(iter(strides)) if len(strides) == 1 else None
        if stride is not None:
            found.append((value, stride))
    return found


def _stride(node: ir.Node) -> tuple[int, ...] | None:
    """The stride of a convolution of one point without padding; None for other nodes."""
    weights = weight_of(node) if node.op_type == "Conv" else None
    if weights is None or any(size != 1 for size in weights.shape[2:]):
        return None
    strides, pads = node.attributes.get("strides"), node.attributes.get("pads")
    if strides is None or all(step == 1 for step in strides.as_ints()):
        return None
    return None if pads is not None and any(pads.as_ints()) else tuple(strides.as_ints())
