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
    channels_of,
    is_spatial_mean,
    output_axis,
    weight_columns,
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
    for name, peak in peaks.items():
        if name in ids and peak.size == ids[name].size and peak.max() > 0:
            roots = [classes.root(item) for item in ids[name].tolist()]
            np.maximum.at(share, roots, peak / peak.max())
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
            weights /= _per_output(node, out_of, weights.ndim)
            bias = node.inputs[2] if len(node.inputs) > 2 else None
            if bias is not None and bias.const_value is not None:
                _replace(result.graph, node, 2, bias.const_value.numpy() / out_of)
        _replace(result.graph, node, 1, weights)
    drop_unused(result.graph)
    return result


def _per_output(node: ir.Node, factor: np.ndarray, rank: int) -> np.ndarray:
    """The factors of the output channels, shaped to broadcast over the node's weights."""
    axis = output_axis(node)
    return factor.astype(np.float64).reshape([-1 if i == axis else 1 for i in range(rank)])


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
            elif channels:
                if tied is not None:
                    classes.fix(tied)
                ids[str(value.name)] = classes.new(
                    channels, fixed=weight_of(node) is None or not _constant_bias(node)
                )
    for value in model.graph.outputs:
        if value.name in ids:
            classes.fix(ids[value.name])
    return ids, classes


def _through(node: ir.Node, ids: dict[str, np.ndarray], classes: _Classes) -> np.ndarray | None:
    """The classes of a node's output channels, where they follow from its inputs'.

    The inputs are tied or fixed as needed.
    """
    sources = [
        ids[str(value.name)] for value in node.inputs if value is not None and value.name in ids
    ]
    if weight_of(node) is not None or not sources:
        return None
    if len(sources) == 1 and (node.op_type in _HOMOGENEOUS or _homogeneous_here(node)):
        return sources[0]
    if (
        node.op_type == "Concat"
        and node.attributes["axis"].as_int() == 1
        and len(sources) == len(node.inputs)
    ):
        return np.concatenate(sources)
    if node.op_type in ("Add", "Sub") and len(sources) == 2 and sources[0].size == sources[1].size:
        classes.tie(*sources)
        return sources[0]
    if node.op_type == "Mul" and len(sources) == 2 and sources[0].size == sources[1].size:
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
        # only N x C x 1 x 1 to N x C keeps the channels where they were
        source = node.inputs[0]
        shape = source.shape if source is not None else None
        return shape is not None and len(shape) == 4 and shape[2] == 1 and shape[3] == 1
    return is_spatial_mean(node)
