"""Puts Q and DQ nodes, and float operators between them, into a graph of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer
from edge_scnet.graph.pairs import DEQUANTIZE, QUANTIZE, constant, label

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What the codes of a tensor mean."""

    scale: ir.Value
    zero: ir.Value | None

    def equals(self, other: Meaning) -> bool:
        """Whether both mean the same values."""
        if self.scale is other.scale and self.zero is other.zero:
            return True
        scales = [constant(meaning.scale) for meaning in (self, other)]
        zeros = [constant(meaning.zero) for meaning in (self, other)]
        if scales[0] is None or scales[1] is None or not np.array_equal(scales[0], scales[1]):
            return False
        if zeros[0] is None or zeros[1] is None:
            return zeros[0] is None and zeros[1] is None
        return np.array_equal(zeros[0], zeros[1])


class PairWriter:
    """Writes into one graph; new names do not meet those that are there."""

    def __init__(self, graph: ir.Graph) -> None:
        self._ir: Any = require("onnx_ir", extra="quantize")
        self._graph = graph
        # of the tensors that hold codes, as far as the graph was walked
        self.meanings: dict[ir.Value, Meaning] = {}
        self._floats: dict[tuple[ir.Value, ir.Value, ir.Value | None, int], ir.Value] = {}
        self._names = {value.name for node in graph for value in node.outputs}
        self._names |= set(graph.initializers) | {value.name for value in graph.inputs}

    def floats_of(
        self, codes: ir.Value, meaning: Meaning, before: ir.Node, *, axis: int = 0
    ) -> ir.Value:
        """The float tensor of codes: a DQ in front of a node, one for all readers.

        Args:
            axis: of the channels, where there is a scale for each.
        """
        key = (codes, meaning.scale, meaning.zero, axis)
        if key not in self._floats:
            values = constant(meaning.scale)
            node: ir.Node = self._ir.node(
                DEQUANTIZE,
                [value for value in (codes, meaning.scale, meaning.zero) if value is not None],
                attributes={"axis": axis} if values is not None and values.size > 1 else {},
                name=self._free(f"{codes.name}_DequantizeLinear"),
            )
            result = node.outputs[0]
            result.name, result.type = self._free(f"{codes.name}_float"), meaning.scale.type
            result.shape = codes.shape
            self._graph.insert_before(before, node)
            self._floats[key] = result
        return self._floats[key]

    def bias(self, node: ir.Node, codes: ir.Value, scales: Sequence[np.ndarray]) -> ir.Value:
        """The INT32 bias of a node as floats.

        Args:
            scales: what its scale is the product of: the input's and the weights'.
        """
        product = np.prod(
            np.broadcast_arrays(*[scale.reshape(-1) for scale in scales]), axis=0, dtype=np.float32
        )
        name = self._free(f"{label(node)}_bias_scale")
        scale = add_initializer(self._graph, name, product if product.size > 1 else product[0])
        return self.floats_of(codes, Meaning(scale=scale, zero=None), node)

    def replace(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        meaning: Meaning | None,
        *,
        dropped: Sequence[str] = (),
    ) -> None:
        """Puts a float operator and a Q in the place of a node, under its name and output.

        Args:
            meaning: of the node's output; None: the node gives floats.
            dropped: attributes that the float operator does not have.
        """
        made: ir.Node = self._ir.Node(
            "",
            op_type,
            list(inputs),
            attributes=[a for name, a in node.attributes.items() if name not in dropped],
            name=label(node),
            num_outputs=1,
        )
        output, result = node.outputs[0], made.outputs[0]
        self._graph.insert_before(node, made)
        if meaning is not None:
            result.name, result.type = self._free(f"{output.name}_computed"), meaning.scale.type
            result.shape = output.shape
            quantize = self._quantize_node(result, meaning, f"{output.name}_QuantizeLinear")
            self._graph.insert_before(node, quantize)
            result = quantize.outputs[0]
            self.meanings[result] = meaning
        result.name, result.shape, result.type = output.name, output.shape, output.type
        output.name = self._free(f"{output.name}_replaced")
        self._ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
        self._graph.remove(node, safe=True)

    def quantize_output(self, node: ir.Node, output: ir.Value, meaning: Meaning) -> None:
        """Puts a Q behind a node that gave codes and gives floats now."""
        quantize = self._quantize_node(output, meaning, f"{output.name}_QuantizeLinear")
        codes, uses = (
            quantize.outputs[0],
            [use for use in output.uses() if use.node is not quantize],
        )
        self._graph.insert_after(node, quantize)
        codes.name, codes.shape, codes.type = output.name, output.shape, output.type
        output.name = self._free(f"{output.name}_moved")
        output.type = meaning.scale.type
        for use in uses:
            use.node.replace_input_with(use.idx, codes)
        for index, value in enumerate(self._graph.outputs):
            if value is output:
                self._graph.outputs[index] = codes
        self.meanings[codes] = meaning

    def _quantize_node(self, value: ir.Value, meaning: Meaning, name: str) -> ir.Node:
        inputs = [item for item in (value, meaning.scale, meaning.zero) if item is not None]
        node: ir.Node = self._ir.node(QUANTIZE, inputs, name=self._free(name))
        return node

    def _free(self, wanted: str) -> str:
        while wanted in self._names:
            wanted += "_"
        self._names.add(wanted)
        return wanted
