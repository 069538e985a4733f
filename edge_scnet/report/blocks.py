"""An engine's layers by block of its network, in the order in which they run.

A block is a module of the network ("layer1.0"). Of a network with many modules the blocks are
larger ("layer1"), and where names tell no modules, parts of the row of layers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_scnet.graph.names import parts_of
from edge_scnet.report.run_report import EngineReport, LayerTime
from edge_scnet.stats.figures import NoisePart

# What runtimes call INT8: OpenVINO u8 and i8, ONNX Runtime uint8 and int8, TensorRT int8.
INT8 = frozenset({"u8", "i8", "uint8", "int8"})

# Names that OpenVINO gives to nodes of its own.
_MADE_BY_RUNTIME = re.compile(r"[A-Z][A-Za-z]*_\d+")
_NO_BIAS = "/WithoutBiases"
# A picture of more blocks is read by nobody.
_MOST = 32
# What one block may hold of all layers; with more a picture says nothing.
_ALL = 0.8
_DEEPEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some layers of an engine that belong together."""

    name: str
    layers: int
    ms: float
    # of `ms`, what executes in INT8
    int8_ms: float
    # of the noise of all modules in INT8, what this block's modules cause; None: not measured
    noise_percent: float | None = None


def own_nodes(layer: LayerTime) -> tuple[str, ...]:
    """Returns the graph's nodes in a layer, the one first that the layer is named after.

    What the runtime itself put in ("Convert_2725") is left out, also where a graph made elsewhere
    has nodes with such names and others beside them.
    """
    # the frontend names parts of a layer after it: "fc/WithoutBiases/DequantizationMultiply"
    modules = dict.fromkeys(node.partition(_NO_BIAS)[0] for node in layer.modules)
    named = [node for node in modules if not _MADE_BY_RUNTIME.fullmatch(node)]
    own = layer.name.partition(_NO_BIAS)[0]
    return tuple(sorted(named or modules, key=lambda node: node != own))


def blocks_of(row: EngineReport, noise: Sequence[NoisePart] = ()) -> tuple[Block, ...]:
    """Returns an engine's blocks, at most 32, in the order in which they run.

    Args:
        row: with the times of its layers.
        noise: each module's part; empty: not measured.
    """
    places = _places(row.layer_times)
    name_of = _naming([name for name in places if name])
    grouped: dict[str, list[LayerTime]] = {}
    last = ""
    for layer, place in zip(row.layer_times, places, strict=True):
        # a copy that belongs to no module is of the block in front of it
        last = name_of(place) if place else last or f"({layer.kind})"
        grouped.setdefault(last, []).append(layer)
    shares = dict.fromkeys(grouped, 0.0)
    for part in noise:
        if (name := name_of(part.module)) in shares:
            shares[name] += part.percent
    return _few(
        [
            Block(
                name=name,
                layers=len(layers),
                ms=sum(layer.median_ms for layer in layers),
                int8_ms=sum(layer.median_ms for layer in layers if layer.precision in INT8),
                noise_percent=shares[name] if noise else None,
            )
            for name, layers in grouped.items()
        ]
    )


def _places(layers: Sequence[LayerTime]) -> list[str]:
    """Of each layer the node that says where it belongs; empty: none does.

    A copy of TensorRT's has no node, and its name tells which layer it is made for.
    """
    nodes = [own_nodes(layer)[:1] for layer in layers]
    made = [all(map(_MADE_BY_RUNTIME.fullmatch, found)) for found in nodes]
    # in files of older exporters every node has such a name
    says_nothing = not all(made)
    return [
        layer.name.partition(" to ")[2].partition(" + ")[0]
        if not found
        else ""
        if is_made and says_nothing
        else found[0]
        for layer, found, is_made in zip(layers, nodes, made, strict=True)
    ]


def _naming(names: Sequence[str]) -> Callable[[str], str]:
    """Returns what names the block of a node: as deep as makes neither few nor many of them."""

    def at(depth: int) -> Callable[[str], str]:
        return lambda name: ".".join(parts_of(name)[:depth]) or name

    def most(depth: int) -> int:
        return max(Counter(map(at(depth), names)).values(), default=0)

    counts = {depth: len(set(map(at(depth), names))) for depth in range(1, _DEEPEST + 1)}
    if counts[2] > _MOST:
        return at(1)
    # a network inside a module, as "model.features.3": its blocks lie deeper
    depth = 2
    while depth < _DEEPEST and most(depth) > _ALL * len(names) and counts[depth + 1] <= _MOST:
        depth += 1
    return at(depth)


def _few(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Returns at most `_MOST` blocks: of more, neighbours are joined."""
    size = -(-len(blocks) // _MOST)
    if size <= 1:
        return tuple(blocks)
    return tuple(_joined(blocks[i : i + size]) for i in range(0, len(blocks), size))


def _joined(blocks: Sequence[Block]) -> Block:
    noise = [block.noise_percent for block in blocks if block.noise_percent is not None]
    names = dict.fromkeys((blocks[0].name, blocks[-1].name))
    return Block(
        name=" to ".join(names),
        layers=sum(block.layers for block in blocks),
        ms=sum(block.ms for block in blocks),
        int8_ms=sum(block.int8_ms for block in blocks),
        noise_percent=sum(noise) if noise else None,
    )
