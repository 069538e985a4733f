"""Which modules of a Q/DQ graph cost most: its output's noise again, with the modules of one group
back in float.

It works on the graph as it is, ours or another's, wrong scales and all; `sensitivity.py` asks what
quantization would cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph import pairs
from edge_scnet.graph.model import add_initializer, batch_of
from edge_scnet.graph.names import block_of
from edge_scnet.graph.operators import COMPUTE_OPS
from edge_scnet.graph.run import ort_session
from edge_scnet.stats.accuracy import relative_noise
from edge_scnet.stats.decibels import of_relative_noise

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What putting modules back into float gains."""

    name: str  # a block ("layer1.0") or a module ("layer1.0.k2.1")
    share: float  # of the noise power that goes away, 0 to 1; below 0 where it grows


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisected:
    """The whole graph's noise, and what each group and then each module of the worst group has to
    do with it.
    """

    sqnr_db: float | None  # of the graph as it is, simulated; None: exact
    blocks: tuple[Relief, ...]  # most first
    modules: tuple[Relief, ...]  # of the first block, most first


def bisect(
    quantized: ir.Model,
    reference: ir.Model,
    images: np.ndarray,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Bisected:
    """Simulates the graph once as it is, once for every block and once for every module of the
    worst block.

    Args:
        reference: the float graph with the same node names, in the equalised form where the Q/DQ
            graph is of that.
        images: N x C x H x W float32; N a multiple of the graph's batch.
    """
    expected = _run(reference, images)
    noise = relative_noise(expected, _run(quantized, images))
    if not noise:
        return Bisected(sqnr_db=None, blocks=(), modules=())
    layers = quantized_nodes(quantized)
    blocks = list(dict.fromkeys(block_of(name) for name in layers))

    def relief(name: str, members: Collection[str]) -> Relief:
        left = relative_noise(expected, _run(in_float(quantized, reference, members), images))
        return Relief(name=name, share=1 - left / noise)

    found = []
    for number, block in enumerate(blocks):
        found.append(relief(block, [name for name in layers if block_of(name) == block]))
        progress((number + 1) / (len(blocks) + 1))
    found.sort(key=lambda entry: -entry.share)
    members = [name for name in layers if block_of(name) == found[0].name]
    modules = (
        sorted((relief(name, [name]) for name in members), key=lambda entry: -entry.share)
        if len(members) > 1
        else []
    )
    progress(1.0)
    return Bisected(sqnr_db=of_relative_noise(noise), blocks=tuple(found), modules=tuple(modules))


def in_float(quantized: ir.Model, reference: ir.Model, nodes: Collection[str]) -> ir.Model:
    """A copy in which the named nodes read float: what lies in front of their inputs' Q, and the
    weights of `reference`.
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
    return result


def nearest(quantized: ir.Model, candidates: Sequence[ir.Model]) -> ir.Model:
    """The float graph whose weights a Q/DQ graph holds: a file does not say whether it was made of
    the equalised one.
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
    """Nodes that read a DequantizeLinear, in order."""
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


def _run(model: ir.Model, images: np.ndarray) -> Sequence[np.ndarray]:
    session = ort_session(require("onnxruntime", extra="quantize"), model)
    name, batch = str(model.graph.inputs[0].name), batch_of(model)
    runs = [
        session.run(None, {name: images[i : i + batch]})
        for i in range(0, len(images) - batch + 1, batch)
    ]
    return [np.concatenate(parts) for parts in zip(*runs, strict=True)]
