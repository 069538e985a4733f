"""Which channels of a graph must share one factor of equalisation, and which can have none.

ReLU, pooling, Resize, Add, Concat and a product with a gate commute with a positive factor per
channel; so do moves of whole channels (a channel shuffle), which are followed element by element.
What ends a channel's class is a layer: it can divide the factors of its output channels out, and
multiply those of its input channels back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.operators import (
    LINEAR_OPS,
    channels_of,
    is_spatial_mean,
    passes_scale,
    rank_of,
    weight_of,
)

if TYPE_CHECKING:
    import onnx_ir as ir

# f(c * x) = c * f(x) for c > 0, channel by channel
_HOMOGENEOUS = frozenset(
    (
        "Relu",
        "LeakyRelu",
        "PRelu",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "Dropout",
    )
)
# Their outputs hold their first input's elements, in another order or fewer of them.
_MOVES = frozenset(
    (
        "DepthToSpace",
        "Flatten",
        "Gather",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    )
)
# Of a tensor that is followed element by element.
_MOST_ELEMENTS = 1 << 22
# What the names of tensors that `rescaling.py` adds end in.
RESCALED = "/rescaled"


class Classes:
    """Channels that must share one factor (union-find); a fixed class keeps the factor 1.

    Channels are numbered as they are added; a class is known by one of its channels, its root.
    """

    def __init__(self) -> None:
        """Begins with no channels."""
        self._parent: list[int] = []
        self._fixed: list[bool] = []

    def __len__(self) -> int:
        """The number of channels."""
        return len(self._parent)

    def new(self, count: int, *, fixed: bool) -> np.ndarray:
        """Adds channels, each a class of its own, and returns their numbers."""
        first = len(self._parent)
        self._parent += range(first, first + count)
        self._fixed += [fixed] * count
        return np.arange(first, first + count)

    def root(self, item: int) -> int:
        """The root of a channel's class."""
        while self._parent[item] != item:
            self._parent[item] = item = self._parent[self._parent[item]]
        return item

    def roots(self, items: np.ndarray) -> np.ndarray:
        """The roots of the classes of these channels."""
        return np.array([self.root(item) for item in items.tolist()], np.int64)

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Makes the classes of two tensors' channels one, channel by channel."""
        for left, right in zip(a.tolist(), b.tolist(), strict=True):
            left, right = self.root(left), self.root(right)
            self._parent[right] = left
            self._fixed[left] = self._fixed[left] or self._fixed[right]

    def fix(self, items: np.ndarray) -> None:
        """Keeps the factor 1 for the classes of these channels."""
        for item in np.unique(items).tolist():
            self._fixed[self.root(item)] = True

    def is_fixed(self, item: int) -> bool:
        """Whether the channel's factor is 1."""
        return self._fixed[self.root(item)]

    def are_fixed(self, items: np.ndarray) -> bool:
        """Whether the factors of all these channels are 1."""
        return all(self.is_fixed(item) for item in items.tolist())


@dataclass(frozen=True, slots=True)
class Ties:
    """The class of every channel of every tensor whose channels are its second axis."""

    ids: dict[str, np.ndarray]
    classes: Classes


def scales_channels(node: ir.Node) -> bool:
    """Whether a node multiplies and shifts each channel by constants of its own.

    Such are a BatchNormalization that no convolution took up, and a product with the factors of
    equalisation (`rescaling.py`).
    """
    if node.op_type == "BatchNormalization":
        return len(node.outputs) == 1 and all(
            value is not None and value.is_initializer() and value.const_value is not None
            for value in node.inputs[1:]
        )
    if not str(node.outputs[0].name).endswith(RESCALED) or constant_beside(node) != 1:
        return False
    data, by = node.inputs
    assert data is not None and by is not None and by.shape is not None
    sizes = [channels_of(data), *[1] * (rank_of(data) - 2)]
    return node.op_type == "Mul" and list(by.shape) == sizes


def has_channels(node: ir.Node) -> bool:
    """Whether a node is a layer whose input and output channels are the second axis.

    Of a product over the rows of a tensor they are the last.
    """
    return weight_of(node) is not None and (
        node.op_type not in LINEAR_OPS or rank_of(node.inputs[0]) == rank_of(node.outputs[0]) == 2
    )


def constant_beside(node: ir.Node) -> int | None:
    """The index of the constant that an Add, Sub, Mul or Div has beside one computed tensor.

    None where there is none, or where it makes the result larger than the computed tensor.
    """
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    stored = [
        i
        for i, v in enumerate(node.inputs)
        if v is not None and v.is_initializer() and v.const_value is not None
    ]
    if len(stored) != 1 or (node.op_type == "Div" and stored[0] == 0):
        return None
    data = node.inputs[1 - stored[0]]
    same = data is not None and data.shape is not None and data.shape == node.outputs[0].shape
    return stored[0] if same else None


def tie(model: ir.Model) -> Ties:
    """Returns the class of every channel of every tensor."""
    walk = _Walk()
    for value in model.graph.inputs:
        if channels := channels_of(value):
            walk.ids[str(value.name)] = walk.classes.new(channels, fixed=True)
    for node in model.graph:
        walk.pass_through(node)
    for value in [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]:
        # what a branch or a loop reads of the graph around it is not among its inputs
        inside = any(use.node.graph is not model.graph for use in value.uses())
        # nor is a bias that is computed multiplied back by the layer that reads it
        aside = any(use.idx > 0 and has_channels(use.node) for use in value.uses())
        if inside or aside or value.is_graph_output():
            walk.fix(value)
    return Ties(walk.ids, walk.classes)


class _Walk:
    """The classes of the tensors so far, in the order of the graph."""

    def __init__(self) -> None:
        self.classes = Classes()
        self.ids: dict[str, np.ndarray] = {}
        # The number of every element's channel, of tensors whose second axis is not the channels'.
        self._elements: dict[str, np.ndarray] = {}

    def fix(self, value: ir.Value | None) -> None:
        """Keeps the factor 1 for whatever a tensor holds."""
        for known in (self.ids, self._elements):
            if value is not None and value.name in known:
                self.classes.fix(known[str(value.name)])

    def pass_through(self, node: ir.Node) -> None:
        """Finds the classes of a node's outputs; its inputs' are tied or fixed as needed."""
        if self._moved(node):
            return
        for value in node.inputs:
            if value is not None and value.name in self._elements:
                self.fix(value)
        tied = self._through(node)
        for value in node.outputs:
            channels = channels_of(value)
            if tied is not None and tied.size == channels:
                self.ids[str(value.name)] = tied
                continue
            if tied is not None:
                self.classes.fix(tied)
            if channels:
                movable = (has_channels(node) and _constant_bias(node)) or scales_channels(node)
                self.ids[str(value.name)] = self.classes.new(channels, fixed=not movable)

    def _through(self, node: ir.Node) -> np.ndarray | None:
        """The classes of a node's output channels, where they follow from its inputs'."""
        known = [value for value in node.inputs if value is not None and value.name in self.ids]
        sources = [self.ids[str(value.name)] for value in known]
        if has_channels(node) or scales_channels(node) or not sources:
            return None
        same_rank = len({rank_of(value) for value in known}) == 1
        if len(sources) == 1 and (
            node.op_type in _HOMOGENEOUS
            or _homogeneous_here(node)
            or constant_beside(node) is not None
        ):
            return sources[0]
        if (
            node.op_type == "Concat"
            and node.attributes["axis"].as_int() == 1
            and len(sources) == len(node.inputs)
        ):
            return np.concatenate(sources)
        pair = same_rank and len(sources) == 2 and sources[0].size == sources[1].size
        if node.op_type in ("Add", "Sub") and pair:
            self.classes.tie(*sources)
            return sources[0]
        if node.op_type == "Mul" and pair:
            # a gate: one side keeps its values, the product follows the other
            for gate, gated in (sources, sources[::-1]):
                if self.classes.are_fixed(gate):
                    return gated
        for source in sources:
            self.classes.fix(source)
        return None

    def _moved(self, node: ir.Node) -> bool:
        """Follows the elements of a tensor through a node that only moves them.

        Returns:
            Whether they were followed.
        """
        if node.op_type not in _MOVES:
            return False
        source, *others = node.inputs
        elements = None if source is None else self._elements_of(source)
        if source is None or elements is None:
            return False
        feeds = {str(source.name): elements}
        for value in others:
            if value is None:
                continue
            if value.const_value is None:
                return False
            feeds[str(value.name)] = value.const_value.numpy()
        for value, moved in zip(node.outputs, _evaluated(node, feeds), strict=True):
            channels = _channels_in(moved)
            if channels is None:
                self._elements[str(value.name)] = moved
            else:
                self.ids[str(value.name)] = channels
        return True

    def _elements_of(self, value: ir.Value) -> np.ndarray | None:
        """The number of every element's channel; None where it is not known, or they are many."""
        name, shape = str(value.name), value.shape
        if name in self._elements:
            return self._elements[name]
        sizes = [d for d in shape if isinstance(d, int)] if shape is not None else []
        if name not in self.ids or shape is None or len(sizes) != len(shape):
            return None
        if math.prod(sizes) > _MOST_ELEMENTS:
            return None
        along = self.ids[name].reshape(-1, *[1] * (len(sizes) - 2))
        elements: np.ndarray = np.broadcast_to(along, sizes).copy()
        return elements


def _evaluated(node: ir.Node, feeds: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
    """A node's outputs for these inputs, by ONNX's own definition of its operator."""
    reference = require("onnx.reference", extra="quantize")
    serde = require("onnx_ir", extra="quantize").serde
    opset = node.graph.opset_imports.get("", 20) if node.graph is not None else 20
    evaluator = reference.ReferenceEvaluator(serde.serialize_node(node), opsets={"": opset})
    outputs: Sequence[np.ndarray] = evaluator.run(None, feeds)
    return outputs


def _channels_in(elements: np.ndarray) -> np.ndarray | None:
    """The channels along the second axis; None where an entry of it holds several."""
    if elements.ndim < 2:
        return None
    rows = np.moveaxis(elements, 1, 0).reshape(elements.shape[1], -1)
    if not rows.size or (rows != rows[:, :1]).any():
        return None
    first: np.ndarray = np.ascontiguousarray(rows[:, 0])
    return first


def _constant_bias(node: ir.Node) -> bool:
    """Whether a layer's bias can take a factor: there is none, or it is stored."""
    return len(node.inputs) < 3 or node.inputs[2] is None or node.inputs[2].const_value is not None


def _homogeneous_here(node: ir.Node) -> bool:
    """Whether an operator that is not always homogeneous is, with these attributes."""
    if node.op_type == "Resize":
        mode = node.attributes.get("mode")
        return mode is None or mode.as_string() in ("nearest", "linear")
    if node.op_type == "Pad":
        return passes_scale(node)
    return is_spatial_mean(node)
