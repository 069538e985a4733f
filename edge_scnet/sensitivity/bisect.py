"""Which modules of a Q/DQ graph cost most: the noise that goes away with them back in float.

It works on the graph as it is, ours or another's, wrong scales and all; `noise.py` asks what
quantization would cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph import pairs
from edge_scnet.graph.counting import fronts_of, in_front
from edge_scnet.graph.model import add_initializer
from edge_scnet.graph.names import block_of
from edge_scnet.graph.operators import COMPUTE_OPS
from edge_scnet.graph.run import run_images
from edge_scnet.quantizer.write import corrected_name
from edge_scnet.stats.accuracy import relative_noise
from edge_scnet.stats.decibels import of_relative_noise

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What putting modules back into float gains."""

    # of a block ("layer1.0") or a module ("layer1.0.k2.1")
    name: str
    # of the noise power that goes away, 0 to 1; below 0 where it grows
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisected:
    """The whole graph's noise, and how much of it each block causes."""

    # of the graph as it is, simulated; None: exact
    sqnr_db: float | None
    # the greatest share first
    blocks: tuple[Relief, ...]
    # of the first block, the greatest share first; empty where it has one module
    modules: tuple[Relief, ...]


def bisect(
    quantized: ir.Model,
    reference: ir.Model,
    images: np.ndarray,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Bisected:
    """Finds the block that causes most of the noise, and the module in it.

    The graph is simulated once as it is, once for every block and once for every module of the
    worst block.

    Args:
        reference: the float graph with the same node names, in the equalised form where the Q/DQ
            graph is of that.
        images: N x C x H x W float32; N a multiple of the graph's batch.
    """
    fronts = fronts_of(reference.graph)
    reference = in_front(reference, fronts) or reference
    quantized = in_front(quantized, fronts) or quantized
    expected = run_images(reference, images)
    noise = relative_noise(expected, run_images(quantized, images))
    if not noise:
        return Bisected(sqnr_db=None, blocks=(), modules=())
    layers = quantized_nodes(quantized)
    blocks = list(dict.fromkeys(block_of(name) for name in layers))

    def relief(name: str, members: Collection[str]) -> Relief:
        relieved = in_float(quantized, reference, members)
        noise_left = relative_noise(expected, run_images(relieved, images))
        return Relief(name=name, share=1 - noise_left / noise)

    by_block = []
    for number, block in enumerate(blocks):
        by_block.append(relief(block, [name for name in layers if block_of(name) == block]))
        progress((number + 1) / (len(blocks) + 1))
    by_block.sort(key=lambda entry: -entry.share)
    members = [name for name in layers if block_of(name) == by_block[0].name]
    by_module = [relief(name, [name]) for name in members] if len(members) > 1 else []
    by_module.sort(key=lambda entry: -entry.share)
    progress(1.0)
    return Bisected(
        sqnr_db=of_relative_noise(noise), blocks=tuple(by_block), modules=tuple(by_module)
    )


def in_float(quantized: ir.Model, reference: ir.Model, nodes: Collection[str]) -> ir.Model:
    """Returns a copy of the graph in which the named nodes read float.

    They read what lies in front of their inputs' Q, and the weights of `reference`.
    """
    result = quantized.clone()
    originals = {node.name: node for node in reference.graph}
    for node in list(result.graph):
        if node.name not in nodes:
            continue
        for index, value in enumerate(node.inputs):
            producer = value.producer() if value is not None else None
            if producer is None or producer.op_type != pairs.DEQUANTIZE:
                continue
            source = pairs.quantizer(producer)
            if (
                not pairs.is_weight(producer)
                and source is not None
                and source.inputs[0] is not None
            ):
                node.replace_input_with(index, source.inputs[0])
        original = originals.get(node.name)
        if node.op_type in COMPUTE_OPS and original is not None:
            for index in range(1, len(original.inputs)):
                array = pairs.constant(pairs.input_of(original, index))
                if array is not None and index < len(node.inputs):
                    name = f"{node.name}/float_{index}"
                    node.replace_input_with(index, add_initializer(result.graph, name, array))
            for index in range(len(original.inputs), len(node.inputs)):
                node.replace_input_with(index, None)  # a bias that corrects
            _restore_sum(result, node, originals)
    return result


def _restore_sum(model: ir.Model, node: ir.Node, originals: Mapping[str | None, ir.Node]) -> None:
    """Takes the correction of a layer's mean error out of the Add behind it, where it is there."""
    for use in tuple(node.outputs[0].uses()):
        add, index = use.node, 1 - use.idx
        held = pairs.constant(pairs.input_of(add, index)) if add.op_type == "Add" else None
        if held is None:
            continue
        original = originals.get(add.name)
        array = pairs.constant(pairs.input_of(original, index)) if original is not None else None
        if add.name == corrected_name(node):
            array = np.zeros_like(held)
        if array is not None:
            name = f"{add.name}/float_{index}"
            add.replace_input_with(index, add_initializer(model.graph, name, array))


def nearest(quantized: ir.Model, candidates: Sequence[ir.Model]) -> ir.Model:
    """Returns the float graph whose weights a Q/DQ graph holds.

    A file does not say whether it was made of the equalised graph.
    """
    return min(candidates, key=lambda candidate: _weight_distance(quantized, candidate))


def _weight_distance(quantized: ir.Model, reference: ir.Model) -> float:
    """Relative squared error of the dequantized weights, summed over the layers of both."""
    originals = {node.name: node for node in reference.graph if node.op_type in COMPUTE_OPS}
    total = 0.0
    for node in quantized.graph:
        original = originals.get(node.name)
        producer = (
            node.inputs[1].producer()
            if original is not None and node.inputs[1] is not None
            else None
        )
        if original is None or producer is None or producer.op_type != pairs.DEQUANTIZE:
            continue
        codes, scale = pairs.codes_of(producer), pairs.constant(pairs.input_of(producer, 1))
        weight = pairs.constant(original.inputs[1])
        if codes is None or scale is None or weight is None or weight.size != codes.size:
            continue
        values = codes * scale
        if scale.size > 1:
            values = np.moveaxis(values, -1, pairs.integer(producer, "axis", 1))
        total += float(
            np.square(values.reshape(weight.shape) - weight).sum()
            / max(float(np.square(weight).sum()), 1e-30)
        )
    return total


def quantized_nodes(model: ir.Model) -> list[str]:
    """Returns the names of the nodes that read a DequantizeLinear, in order."""
    return [
        str(node.name)
        for node in model.graph
        if node.op_type not in (pairs.QUANTIZE, pairs.DEQUANTIZE)
        and any(
            value is not None
            and (p := value.producer()) is not None
            and p.op_type == pairs.DEQUANTIZE
            for value in node.inputs
        )
    ]
