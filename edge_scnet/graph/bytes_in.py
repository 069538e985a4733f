"""Writes the preprocessing of pictures into a graph, so that what is built of it takes bytes.

The arithmetic is that of `data.images.normalise`, in float32 and in the same order: in ONNX Runtime
with its optimisations off all codes become the same numbers, bit for bit. The graph behind stays as
it is, so that a convolution's border is padded with zeros of normalised pixels, as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import InputForm
from edge_scnet.graph.model import add_initializer, free_name, names_in

if TYPE_CHECKING:
    import onnx_ir as ir

PREFIX = "bytes_in"
_TO_CHANNELS_FIRST = (0, 3, 1, 2)


def with_bytes_in(model: ir.Model, rule: Preprocessing, form: InputForm) -> ir.Model:
    """Returns a copy whose first input is uint8 N x H x W x C, of the name that it had.

    Args:
        model: its first input is float32 N x C x H x W, without open sizes.
        rule: what becomes of the codes; how pictures are resized is not part of the graph.
        form: bytes; the order of their channels may be another than the network's.
    """
    ir_module = require("onnx_ir", extra="quantize")
    result = model.clone()
    graph = result.graph
    old = graph.inputs[0]
    assert old.shape is not None
    batch, channels, height, width = old.shape.numpy()
    pixels = ir_module.Value(
        name=old.name,
        type=ir_module.TensorType(ir_module.DataType.UINT8),
        shape=ir_module.Shape((batch, height, width, channels)),
    )
    writer = _Writer(ir_module, graph)
    value = writer.add("Cast", pixels, to=int(ir_module.DataType.FLOAT))
    value = writer.add("Transpose", value, perm=_TO_CHANNELS_FIRST)
    if {form.colour or rule.colour, rule.colour} == {"RGB", "BGR"}:
        order = np.arange(channels)[::-1].astype(np.int64)
        value = writer.add("Gather", value, ("order", order), axis=1)
    if rule.pixel_max != 255:
        value = writer.add("Div", value, ("highest", np.float32(255)))
        if rule.pixel_max != 1:
            value = writer.add("Mul", value, ("pixel_max", np.float32(rule.pixel_max)))
    if rule.mean:
        by_channel = (1, channels, 1, 1)
        mean, std = (np.array(v, np.float32).reshape(by_channel) for v in (rule.mean, rule.std))
        value = writer.add("Sub", value, ("mean", mean))
        value = writer.add("Div", value, ("std", std))
    ir_module.convenience.replace_all_uses_with(old, value)
    old.name = None
    graph.inputs[0] = pixels
    for node in reversed(writer.nodes):
        graph.insert_before(graph[0], node)
    return result


class _Writer:
    """Makes the nodes in front of a graph, one behind the other."""

    def __init__(self, ir_module: Any, graph: ir.Graph) -> None:
        self._ir, self._graph = ir_module, graph
        self._taken = names_in(graph)
        self.nodes: list[ir.Node] = []

    def add(
        self,
        kind: str,
        value: ir.Value,
        constant: tuple[str, np.ndarray | np.generic] | None = None,
        **attributes: Any,
    ) -> ir.Value:
        """The output of one more node, whose second input is a constant where it has one."""
        inputs = [value]
        if constant is not None:
            name, array = constant
            inputs.append(
                add_initializer(self._graph, f"{PREFIX}/{name}", array, taken=self._taken)
            )
        name = f"{PREFIX}/{len(self.nodes)}_{kind}"
        node = self._ir.node(kind, inputs, attributes=attributes, name=name)
        node.outputs[0].name = free_name(self._graph, f"{name}_out", taken=self._taken)
        self.nodes.append(node)
        output: ir.Value = node.outputs[0]
        return output
