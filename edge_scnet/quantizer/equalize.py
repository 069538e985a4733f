"""Cross-layer equalisation: factors that make the channels of a tensor use its range alike.

Where operators commute with a positive factor per channel, it can be divided out of the layers that
give a channel and multiplied into the weights that read it; the network computes the same. A
per-tensor scale then wastes fewer codes on the channels with small values. Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction" (ICCV 2019), do this for chains of
convolutions; here a factor is shared by whatever the graph ties together (`ties.py`): a residual
stream, the branches of a Concat, both sides of an average pool. Where no layer in front can divide
it out, a product may (`rescaling.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.model import add_initializer, drop_unused
from edge_scnet.graph.operators import rank_of, weight_columns, weight_of, weight_rows
from edge_scnet.quantizer.rescaling import rescalable, rescale
from edge_scnet.quantizer.ties import (
    RESCALED,
    Ties,
    constant_beside,
    has_channels,
    scales_channels,
    tie,
)

if TYPE_CHECKING:
    import onnx_ir as ir

# A channel that hardly fires would get a factor that moves all rounding error into the weights
# behind it.
_SMALLEST_FACTOR = 1.0 / 16


def factors(
    model: ir.Model, peaks: Mapping[str, np.ndarray], *, strength: float, rescaled: bool = False
) -> dict[str, np.ndarray]:
    """Returns the factors of every tensor that has one other than 1: new value = old / factor.

    Args:
        peaks: largest magnitude per channel, by tensor name; tensors that are not quantized may be
            left out.
        strength: 0 leaves all as it is, 1 makes every channel use the whole range of its tensor.
        rescaled: whether tensors that no layer in front can rescale get a product that does.

    Returns:
        float32 arrays, one factor a channel, in [1/16, 1].
    """
    ties = tie(model)
    if rescaled and (names := rescalable(model, ties)):
        model = model.clone()
        rescale(model.graph, names)
        ties = tie(model)
        peaks = {**peaks, **{f"{n}{RESCALED}": peaks[n] for n in names if n in peaks}}
    share = _shares(model, ties, peaks)
    # powers of two would be exact in float32 too, but their steps cost what equalisation gains
    factor = np.clip(share**strength, _SMALLEST_FACTOR, 1.0).astype(np.float32)
    by_tensor = {}
    for name, items in ties.ids.items():
        values = np.array(
            [
                1.0 if ties.classes.is_fixed(item) else factor[ties.classes.root(item)]
                for item in items.tolist()
            ],
            np.float32,
        )
        if (values != 1.0).any():
            by_tensor[name] = values
    return by_tensor


def _shares(model: ir.Model, ties: Ties, peaks: Mapping[str, np.ndarray]) -> np.ndarray:
    """By the number of a class's root, its largest share of a tensor's peak; 1: none is known."""
    share = np.zeros(len(ties.classes))
    matrices = _matrices(model)
    for name, peak in sorted(peaks.items(), key=lambda entry: entry[0] in matrices):
        items = ties.ids.get(name)
        if items is None or peak.size != items.size or not 0 < peak.max() < np.inf:
            continue
        roots = ties.classes.roots(items)
        if name in matrices:
            # pooled channels say less of the range than what was pooled
            open_ones = share[roots] == 0
            roots, peak = roots[open_ones], peak[open_ones]
        if roots.size:
            np.maximum.at(share, roots, peak / peaks[name].max())
    return np.where(share > 0, share, 1.0)


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
    given = {value.name for node in result.graph for value in node.outputs}
    rescale(result.graph, [name.removesuffix(RESCALED) for name in factor_of if name not in given])
    for node in tuple(result.graph):
        if node.inputs and node.inputs[0] is not None:
            _divide(result.graph, node, factor_of)
    drop_unused(result.graph)
    return result


def _divide(graph: ir.Graph, node: ir.Node, factor_of: Mapping[str, np.ndarray]) -> None:
    """Changes a node's constants by the factors of its input and its output."""
    stored = constant_beside(node)
    data = node.inputs[1 - stored if stored is not None else 0]
    assert data is not None
    into, out_of = factor_of.get(str(data.name)), factor_of.get(str(node.outputs[0].name))
    if into is None and out_of is None:
        return
    if (original := weight_of(node)) is not None:
        if not has_channels(node):
            return
        weights = original.astype(np.float64)
        if into is not None:
            weights *= weight_columns(node, into.astype(np.float64))
        if out_of is not None:
            weights /= weight_rows(node, out_of.astype(np.float64))
            bias = node.inputs[2] if len(node.inputs) > 2 else None
            if bias is not None and bias.const_value is not None:
                _replace(graph, node, 2, bias.const_value.numpy() / out_of)
        _replace(graph, node, 1, weights)
    elif scales_channels(node):
        _divide_scales(graph, node, into, out_of)
    elif stored is not None and node.op_type in ("Add", "Sub"):
        constant = node.inputs[stored]
        assert constant is not None and constant.const_value is not None and out_of is not None
        along = out_of.reshape(-1, *[1] * (rank_of(node.outputs[0]) - 2))
        _replace(graph, node, stored, constant.const_value.numpy() / along)


def _divide_scales(
    graph: ir.Graph, node: ir.Node, into: np.ndarray | None, out_of: np.ndarray | None
) -> None:
    """Changes the constants of a node that scales and shifts every channel by itself."""
    one = np.ones(1)
    into = one if into is None else into.astype(np.float64)
    out_of = one if out_of is None else out_of.astype(np.float64)
    scale = node.inputs[1]
    assert scale is not None and scale.const_value is not None
    old = scale.const_value.numpy()
    ratio = (into / out_of).reshape(-1, *[1] * max(old.ndim - 1, 0))
    _replace(graph, node, 1, old * ratio)
    if node.op_type == "BatchNormalization":
        for index, by in ((2, out_of), (3, into)):
            value = node.inputs[index]
            assert value is not None and value.const_value is not None
            _replace(graph, node, index, value.const_value.numpy() / by)


def _replace(graph: ir.Graph, node: ir.Node, index: int, array: np.ndarray) -> None:
    """Gives a node another constant; others that read the old one keep it."""
    old = node.inputs[index]
    assert old is not None
    name = f"{old.name}" if len(tuple(old.uses())) == 1 else f"{old.name}@{node.name}"
    if name == old.name:
        del graph.initializers[name]
    node.replace_input_with(index, add_initializer(graph, name, array.astype(np.float32)))
