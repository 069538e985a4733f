"""Cross-layer equalisation: factors that make the channels of a tensor use its range alike.

ReLU, pooling, Resize, Add, Concat and a product with a gate commute with a positive factor per
channel, so a factor can be divided out of the convolutions that give a channel and multiplied into
the weights that read it; the network computes the same. A per-tensor scale then wastes fewer codes
on the channels with small values. Nagel et al., "Data-Free Quantization Through Weight Equalization
and Bias Correction" (ICCV 2019), do this for chains of convolutions; here a factor is shared by
whatever the graph ties together: a residual stream, the branches of a Concat, both sides of an
average pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.model import add_initializer, drop_unused
from edge_scnet.graph.operators import (
    LINEAR_OPS,
    channels_of,
    is_spatial_mean,
    passes_scale,
    rank_of,
    weight_columns,
    weight_of,
    weight_rows,
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
# A channel that hardly fires would get a factor that moves all rounding error into the weights
# behind it.
_SMALLEST_FACTOR = 1.0 / 16


class _Classes:
    """Channels that must share one factor (union-find); a fixed class keeps the factor 1.

    Channels are numbered as they are added; a class is known by one of its channels, its root.
    """

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._fixed: list[bool] = []

    def __len__(self) -> int:
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

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Makes the classes of two tensors' channels one, channel by channel."""
        for left, right in zip(a.tolist(), b.tolist(), strict=True):
            left, right = self.root(left), self.root(right)
            self._parent[right] = left
            self._fixed[left] = self._fixed[left] or self._fixed[right]

    def fix(self, items: np.ndarray) -> None:
        """Keeps the factor 1 for the classes of these channels."""
        for item in items.tolist():
            self._fixed[self.root(item)] = True

    def is_fixed(self, item: int) -> bool:
        return self._fixed[self.root(item)]

    def are_fixed(self, items: np.ndarray) -> bool:
        return all(self.is_fixed(item) for item in items.tolist())


def factors(
    model: ir.Model, peaks: Mapping[str, np.ndarray], *, strength: float
) -> dict[str, np.ndarray]:
    """Returns the factors of every tensor that has one other than 1: new value = old / factor.

    Args:
        peaks: largest magnitude per channel, by tensor name; tensors that are not quantized may be
            left out.
        strength: 0 leaves all as it is, 1 makes every channel use the whole range of its tensor.

    Returns:
        float32 arrays, one factor a channel, in [1/16, 1].
    """
    ids, classes = _tie(model)
    share = np.zeros(len(classes))
    matrices = _matrices(model)
    for name, peak in sorted(peaks.items(), key=lambda entry: entry[0] in matrices):
        if name not in ids or peak.size != ids[name].size or not 0 < peak.max() < np.inf:
            continue
        items = ids[name]
        roots = np.array([classes.root(item) for item in items.tolist()])
        if name in matrices:
            # pooled channels say less of the range than what was pooled
            open_ones = share[roots] == 0
            roots, peak = roots[open_ones], peak[open_ones]
        if roots.size:
            np.maximum.at(share, roots, peak / peaks[name].max())
    # powers of two would be exact in float32 too, but their steps cost what equalisation gains
    factor = np.clip(np.where(share > 0, share, 1.0) ** strength, _SMALLEST_FACTOR, 1.0).astype(
        np.float32
    )
    by_tensor = {}
    for name, items in ids.items():
        values = np.array(
            [
                1.0 if classes.is_fixed(item) else factor[classes.root(item)]
                for item in items.tolist()
            ],
            np.float32,
        )
        if (values != 1.0).any():
            by_tensor[name] = values
    return by_tensor


def _matrices(model: ir.Model) -> set[str]:
    """The names of the N x C tensors."""
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    return {str(value.name) for value in values if rank_of(value) == 2}


def equalize(model: ir.Model, factor_of: Mapping[str, np.ndarray]) -> ir.Model:
    """Returns a copy whose tensors hold their old values divided by their factors.

    Its outputs are the same. Weights that several nodes share become one weight a node where their
    factors differ.
    """
    result = model.clone()
    for node in result.graph:
        original = weight_of(node)
        if original is None:
            continue
        source, output = str(node.inputs[0].name), str(node.outputs[0].name)  # type: ignore[union-attr]
        into, out_of = factor_of.get(source), factor_of.get(output)
        if into is None and out_of is None:
            continue
        weights = original.astype(np.float64)
        if into is not None:
            weights *= weight_columns(node, into.astype(np.float64))
        if out_of is not None:
            weights /= weight_rows(node, out_of.astype(np.float64))
            bias = node.inputs[2] if len(node.inputs) > 2 else None
            if bias is not None and bias.const_value is not None:
                _replace(result.graph, node, 2, bias.const_value.numpy() / out_of)
        _replace(result.graph, node, 1, weights)
    drop_unused(result.graph)
    return result


def _replace(graph: ir.Graph, node: ir.Node, index: int, array: np.ndarray) -> None:
    """Gives a node another constant; others that read the old one keep it."""
    old = node.inputs[index]
    assert old is not None
    name = f"{old.name}" if len(tuple(old.uses())) == 1 else f"{old.name}@{node.name}"
    if name == old.name:
        del graph.initializers[name]
    node.replace_input_with(index, add_initializer(graph, name, array.astype(np.float32)))


def _constant_bias(node: ir.Node) -> bool:
    """Whether a layer's bias can take a factor: there is none, or it is stored."""
    return len(node.inputs) < 3 or node.inputs[2] is None or node.inputs[2].const_value is not None


def _tie(model: ir.Model) -> tuple[dict[str, np.ndarray], _Classes]:
    """The class of every channel of every tensor."""
    classes = _Classes()
    ids: dict[str, np.ndarray] = {}
    for value in model.graph.inputs:
        if channels := channels_of(value):
            ids[str(value.name)] = classes.new(channels, fixed=True)
    for node in model.graph:
        tied = _through(node, ids, classes)
        for value in node.outputs:
            channels = channels_of(value)
            if tied is not None and tied.size == channels:
                ids[str(value.name)] = tied
                continue
            if tied is not None:
                classes.fix(tied)
            if channels:
                movable = _has_channels(node) and _constant_bias(node)
                ids[str(value.name)] = classes.new(channels, fixed=not movable)
    for value in [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]:
        # what a branch or a loop reads of the graph around it is not among its inputs
        inside = any(use.node.graph is not model.graph for use in value.uses())
        # nor is a bias that is computed multiplied back by the layer that reads it
        aside = any(use.idx > 0 and _has_channels(use.node) for use in value.uses())
        if value.name in ids and (inside or aside or value.is_graph_output()):
            classes.fix(ids[value.name])
    return ids, classes


def _has_channels(node: ir.Node) -> bool:
    """Whether a node is a layer whose input and output channels are the second axis.

    Of a product over the rows of a tensor they are the last.
    """
    return weight_of(node) is not None and (
        node.op_type not in LINEAR_OPS or rank_of(node.inputs[0]) == rank_of(node.outputs[0]) == 2
    )


def _through(node: ir.Node, ids: dict[str, np.ndarray], classes: _Classes) -> np.ndarray | None:
    """The classes of a node's output channels, where they follow from its inputs'.

    The inputs are tied or fixed as needed.
    """
    known = [value for value in node.inputs if value is not None and value.name in ids]
    sources = [ids[str(value.name)] for value in known]
    if _has_channels(node) or not sources:
        return None
    same_rank = len({rank_of(value) for value in known}) == 1
    if len(sources) == 1 and (node.op_type in _HOMOGENEOUS or _homogeneous_here(node)):
        return sources[0]
    if (
        node.op_type == "Concat"
        and node.attributes["axis"].as_int() == 1
        and len(sources) == len(node.inputs)
    ):
        return np.concatenate(sources)
    pair = same_rank and len(sources) == 2 and sources[0].size == sources[1].size
    if node.op_type in ("Add", "Sub") and pair:
        classes.tie(*sources)
        return sources[0]
    if node.op_type == "Mul" and pair:
        # a gate: one side keeps its values, the product follows the other
        for gate, gated in (sources, sources[::-1]):
            if classes.are_fixed(gate):
                return gated
    for source in sources:
        classes.fix(source)
    return None


def _homogeneous_here(node: ir.Node) -> bool:
    """Whether an operator that is not always homogeneous is, with these attributes and shapes."""
    if node.op_type == "Resize":
        mode = node.attributes.get("mode")
        return mode is None or mode.as_string() in ("nearest", "linear")
    if node.op_type in ("Flatten", "Reshape", "Squeeze"):
        # only N x C x 1 x ... to N x C keeps the channels where they were
        source = node.inputs[0]
        shape = source.shape if source is not None else None
        return shape is not None and len(shape) > 2 and all(size == 1 for size in shape[2:])
    if node.op_type == "Pad":
        return passes_scale(node)
    return is_spatial_mean(node)
