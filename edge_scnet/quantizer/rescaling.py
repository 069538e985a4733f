"""Products that give a tensor factors of equalisation where no layer in front can.

Behind a HardSwish or a sigmoid's product no layer can divide a factor out. A product with one
constant a channel can: OpenVINO takes it up into the quantization that follows
(MulFakeQuantizeFusion), whose kernel has a scale for each channel in any case, so that it costs
nothing. Such a tensor must be read by layers alone, which multiply the factors back: what else read
it would need the old values too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer, names_in
from edge_scnet.graph.operators import channels_of, passes_scale, rank_of
from edge_scnet.quantizer.ties import RESCALED, Ties, has_channels

if TYPE_CHECKING:
    import onnx_ir as ir

# Their kernels, which take codes and give codes, have one scale.
_POOLS = ("AveragePool", "GlobalAveragePool", "ReduceMean")


def rescalable(model: ir.Model, ties: Ties) -> list[str]:
    """Returns the tensors that have no factors of their own and that layers alone read."""
    return [
        str(value.name)
        for node in model.graph
        for value in node.outputs
        # a pair is moved up through what passes a scale on (`place_openvino`)
        if not passes_scale(node)
        and node.op_type not in _POOLS
        and channels_of(value) > 1
        and value.name in ties.ids
        and any(ties.classes.is_fixed(item) for item in ties.ids[str(value.name)].tolist())
        and _read_by_layers_alone(value)
    ]


def _read_by_layers_alone(value: ir.Value) -> bool:
    uses = tuple(value.uses())
    return (
        bool(uses)
        and not value.is_graph_output()
        and all(use.idx == 0 and has_channels(use.node) for use in uses)
    )


def rescale(graph: ir.Graph, names: Iterable[str]) -> None:
    """Puts a product with ones between each of these tensors and its readers, in place.

    Its output's name is the tensor's and `RESCALED`.
    """
    ir_module = require("onnx_ir", extra="quantize")
    values = {v.name: v for v in (*graph.inputs, *(v for node in graph for v in node.outputs))}
    taken = names_in(graph)
    for name in names:
        value = values[name]
        ones = np.ones((channels_of(value), *[1] * (rank_of(value) - 2)), np.float32)
        factors = add_initializer(graph, f"{name}{RESCALED}_by", ones, taken=taken)
        node = ir_module.node("Mul", [value, factors], name=f"{name}{RESCALED}")
        result = node.outputs[0]
        result.name, result.shape, result.type = f"{name}{RESCALED}", value.shape, value.type
        for use in tuple(value.uses()):
            if use.node is not node:
                use.node.replace_input_with(use.idx, result)
        producer = value.producer()
        assert producer is not None
        graph.insert_after(producer, [node])
