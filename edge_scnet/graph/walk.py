"""Runs images through a graph step by step, in its order.

Held are the tensors that go on behind the place reached, for every batch; all before is let go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.model import extract
from edge_scnet.graph.run import ort_session

if TYPE_CHECKING:
    import onnx_ir as ir


class Walk:
    """The tensors of some batches at a place of a graph."""

    def __init__(self, model: ir.Model, feeds: Sequence[dict[str, np.ndarray]]) -> None:
        """Begins in front of the first node.

        Args:
            feeds: of each batch the graph's inputs, by name.
        """
        self.model = model
        nodes = list(model.graph)
        self._given = {str(value.name): -1 for value in model.graph.inputs}
        self._given |= {str(v.name): i for i, node in enumerate(nodes) for v in node.outputs}
        self._last = _last_reads(model, nodes, self._given)
        self._at = -1
        # By batch: the values of each tensor, which a caller may change.
        self.live = [dict(feed) for feed in feeds]

    def index_of(self, tensor: str) -> int:
        """Returns the index of the node that gives a tensor; -1 of an input."""
        return self._given[tensor]

    def advance(self, index: int) -> None:
        """Takes all batches to behind the node with this index; not back."""
        if index <= self._at:
            return
        wanted = [
            name for name, last in self._last.items() if self._given[name] <= index and last > index
        ]
        new = [name for name in wanted if name not in self.live[0]]
        if new:
            part = Part(extract(self.model, list(self.live[0]), new))
            for live in self.live:
                live |= dict(zip(new, part.run(live, new), strict=True))
        self.live = [{name: live[name] for name in wanted} for live in self.live]
        self._at = index


class Part:
    """A session of a part of a graph, which takes of a feed what it needs."""

    def __init__(self, model: ir.Model) -> None:
        """Opens it."""
        ort = require("onnxruntime", extra="quantize")
        self._session: Any = ort_session(ort, model, optimize=True)
        self._inputs = {value.name for value in self._session.get_inputs()}

    def run(self, feed: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """Returns the tensors of these names."""
        outputs: list[np.ndarray] = self._session.run(
            list(names), {name: feed[name] for name in self._inputs}
        )
        return outputs


def _last_reads(
    model: ir.Model, nodes: Sequence[ir.Node], given: Mapping[str, int]
) -> dict[str, int]:
    """The index of the last node that reads each tensor; of an output one behind the last."""
    last: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for value in (*node.inputs, *_read_inside(node)):
            if value is not None and value.name in given:
                last[str(value.name)] = i
    return last | {str(value.name): len(nodes) for value in model.graph.outputs}


def _read_inside(node: ir.Node) -> list[ir.Value]:
    """What the graphs of a node read, of their own and of the graph around it."""
    graphs = [a.as_graph() for a in node.attributes.values() if a.type.name == "GRAPH"]
    return [
        value
        for graph in graphs
        for inner in graph
        for value in (*inner.inputs, *_read_inside(inner))
        if value is not None
    ]
