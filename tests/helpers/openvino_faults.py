"""Graphs that OpenVINO miscompiles, their near misses, and how far an engine is from the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from edge_scnet.config.target import load_target
from edge_scnet.graph.lint import lint
from edge_scnet.machine import environment
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.runtimes.openvino import OPENVINO
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.graphs import Graph

# Right is 38 dB and more (an average rounded to int8), 131 where nothing is rounded twice; wrong is
# 23 dB and less.
WRONG_DB, RIGHT_DB = 28.0, 35.0
# There OpenVINO leaves int8 codes as they are (transformation_pipeline.cpp).
SIGNED_CONVOLUTIONS = {"amx_int8", "avx_vnni_int8"} & set(environment.collect().features)
Pattern = Callable[
    ["Graph"], "str | tuple[str, ...]"
]  # reads "left" and "right", gives the outputs


def elsewhere(graph: Graph) -> str:
    """Adds a Concat beside the rest: int8 codes go wrong in graphs that hold one."""
    return graph.concat(graph.sigmoid("left"), "right")


def twice(tensor: str, *reads: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(read(tensor) for read in reads)


def added(graph: Graph, tensor: str) -> str:
    return graph.node("Add", [tensor, graph.const(np.float32(2.0))])


def mirrored(graph: Graph, tensor: str) -> str:
    pads = graph.const(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    return graph.node("Pad", [tensor, pads], mode="reflect")


def leaky(graph: Graph, tensor: str) -> str:
    return graph.node("LeakyRelu", [tensor], alpha=0.1)


def average_of_padded(graph: Graph, tensor: str) -> str:
    return graph.node("AveragePool", [graph.pad(tensor)], kernel_shape=[3, 3])


LEFT, BOTH, JOINED = {"left/Q"}, {"left/Q", "right/Q"}, {"concat/Q"}
# the Q that must be found, the graph
SIGNED: dict[str, tuple[set[str], Pattern]] = {
    "Concat of Q": (BOTH, lambda g: g.conv(g.concat(g.q("left"), g.q("right")))),
    "Concat of Q with unequal scales": (
        BOTH,
        lambda g: g.conv(g.concat(g.q("left"), g.q("right", high=2.5))),
    ),
    "Concat of Q along another axis": (
        BOTH,
        lambda g: g.conv(g.concat(g.q("left"), g.q("right"), axis=2)),
    ),
    "Concat of an int8 and a uint8 Q": (
        LEFT,
        lambda g: g.conv(g.concat(g.q("left"), g.q("right", "uint8"))),
    ),
    "Concat of Q, one behind a constant factor": (
        BOTH,
        lambda g: g.conv(g.concat(g.scaled(g.q("left")), g.q("right"))),
    ),
    "Concat of a MaxPool behind Q and of float": (
        LEFT,
        lambda g: g.conv(g.concat(g.maxpool(g.q("left")), g.maxpool("right"))),
    ),
    "Concat of Q, one behind a channel shuffle": (
        BOTH,
        lambda g: g.conv(g.concat(g.shuffle(g.q("left")), g.q("right"))),
    ),
    "Concat of Q, another convolution reads one": (
        BOTH,
        lambda g: twice(g.q("left"), g.conv, lambda t: g.conv(g.concat(t, g.q("right")))),
    ),
    "Concat of Q, another convolution reads a second DequantizeLinear": (
        BOTH,
        lambda g: (g.conv(g.concat(g.q("left"), g.q("right"))), g.conv(g.second("left"))),
    ),
    "Concat, Q": (JOINED, lambda g: g.conv(g.q(g.concat("left", "right")))),
    "Concat, Q, MaxPool": (JOINED, lambda g: g.conv(g.maxpool(g.q(g.concat("left", "right"))))),
    "Concat, Relu, Q": ({"relu/Q"}, lambda g: g.conv(g.q(g.relu(g.concat("left", "right"))))),
    "Concat, constant factor, Q": (
        {"mul/Q"},
        lambda g: g.conv(g.q(g.scaled(g.concat("left", "right")))),
    ),
    "Concat, an equal Q for each of two readers": (
        {"concat/Q", "concat13/Q"},
        lambda g: twice(
            g.concat("left", "right"), lambda t: g.conv(g.q(t)), lambda t: g.conv(g.q(t))
        ),
    ),
    "Concat, Q, Relu, Q": (
        {"concat/Q", "relu/Q"},
        lambda g: twice(g.relu(g.q(g.concat("left", "right"))), g.conv, lambda t: g.conv(g.q(t))),
    ),
    "MaxPool, a Concat elsewhere": (LEFT, lambda g: (g.conv(g.maxpool(g.q("left"))), elsewhere(g))),
    "Resize, a Concat elsewhere": (LEFT, lambda g: (g.conv(g.resize(g.q("left"))), elsewhere(g))),
    "channel shuffle, a Concat elsewhere": (
        LEFT,
        lambda g: (g.conv(g.shuffle(g.q("left"))), elsewhere(g)),
    ),
    "AveragePool, a Concat elsewhere": (
        LEFT,
        lambda g: (g.conv(g.avgpool(g.q("left"), pads=None)), elsewhere(g)),
    ),
    "MaxPool, read by a ConvTranspose and a grouped convolution": (
        LEFT,
        lambda g: (
            *twice(
                g.maxpool(g.q("left")),
                lambda t: g.conv(t, kind="ConvTranspose"),
                lambda t: g.conv(t, group=2),
            ),
            elsewhere(g),
        ),
    ),
}
# the codes, the graph; the pool is named "pool"
POOLED: dict[str, tuple[str, Pattern]] = {
    "Q behind": ("uint8+85", lambda g: g.conv(g.q(g.avgpool(g.q("left"))))),
    "no Q behind": ("uint8+85", lambda g: g.conv(g.avgpool(g.q("left")))),
    "int8, Q behind": ("int8-43", lambda g: g.conv(g.q(g.avgpool(g.q("left"))))),
    "int8 with the lowest zero point, Q behind": (
        "int8-128",
        lambda g: g.conv(g.q(g.avgpool(g.q("left")))),
    ),
    "int8 with zero point 0, no Q behind": ("int8", lambda g: g.conv(g.avgpool(g.q("left")))),
    "int8 with zero point 0, MaxPool behind": (
        "int8",
        lambda g: g.conv(g.maxpool(g.avgpool(g.q("left")))),
    ),
    "int8 with zero point 0, a convolution reads the tensor too": (
        "int8",
        lambda g: twice(g.q("left"), g.conv, lambda t: g.conv(g.q(g.avgpool(t)))),
    ),
    "int8 with zero point 0, a convolution reads an equal pair": (
        "int8",
        lambda g: (g.conv(g.q("left")), g.conv(g.q(g.avgpool(g.q("left"))))),
    ),
    "a Pad in front": ("uint8+85", lambda g: g.conv(g.q(g.avgpool(g.pad(g.q("left")), pads=None)))),
    "auto_pad": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.q("left"), pads=None, auto_pad="SAME_UPPER"))),
    ),
    "behind MaxPool": ("uint8+85", lambda g: g.conv(g.q(g.avgpool(g.maxpool(g.q("left")))))),
    "behind Resize": ("uint8+85", lambda g: g.conv(g.q(g.avgpool(g.resize(g.q("left")))))),
    "behind a Concat": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.concat(g.q("left"), g.q("right"))))),
    ),
    "behind Clip": ("uint8+85", lambda g: g.conv(g.q(g.avgpool(g.clip(g.q("left")))))),
    "behind a constant factor": (
        "uint8+85",
        lambda g: g.conv(g.q(g.avgpool(g.scaled(g.q("left"))))),
    ),
    "behind a constant that is added to an INT8 convolution's MaxPool": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, g.maxpool(g.conv(g.q("left")))))),
    ),
    "behind a constant that is added to an INT8 convolution's shuffled channels": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, g.shuffle(g.conv(g.q("left")))))),
    ),
    "behind a constant that is added to an INT8 convolution's ReLU": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, g.relu(g.conv(g.q("left")))))),
    ),
    "behind a constant that is added to an INT8 convolution's LeakyReLU": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, leaky(g, g.conv(g.q("left")))))),
    ),
    "behind a constant that is added to an INT8 convolution's mirrored borders": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, mirrored(g, g.conv(g.q("left")))))),
    ),
    "behind a constant that is added to the MaxPool of a sum": (
        "uint8",
        lambda g: g.avgpool(added(g, g.maxpool(g.node("Add", [g.q("left"), "right"])))),
    ),
    "behind a constant that is added to a ReLU": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, g.relu(g.q("left"))))),
    ),
    "behind a constant that is added to a padded average": (
        "uint8",
        lambda g: g.sigmoid(g.avgpool(added(g, average_of_padded(g, g.q("left"))))),
    ),
    "behind an added constant": (
        "uint8",
        lambda g: g.conv(g.q(g.avgpool(g.node("Add", [g.q("left"), g.const(np.float32(0.5))])))),
    ),
}


def assembled(pattern: Pattern, codes: str, folder: Path, *, signed: bool) -> Path:
    """A file: two convolutions, with both signs or behind ReLU, and the pattern."""
    graph = Graph(codes)
    stem = graph.q("input", "int8")
    for name in ("left", "right"):
        if signed:
            graph.conv(stem, name)
        else:
            graph.relu(graph.conv(stem, f"{name}/conv"), name)
    outputs = pattern(graph)
    path = folder / "qdq.onnx"
    onnx.save(graph.model(*([outputs] if isinstance(outputs, str) else outputs)), path)
    return path


def signed_graph(pattern: Pattern, folder: Path) -> Path:
    return assembled(pattern, "int8", folder, signed=False)


def pooled_graph(codes: str, pattern: Pattern, folder: Path) -> Path:
    return assembled(pattern, codes, folder, signed=codes not in ("uint8", "int8-128"))


IMAGE = np.random.default_rng(1).standard_normal((1, 8, 16, 16)).astype(np.float32)


def engine_outputs(path: Path) -> list[np.ndarray]:
    with OPENVINO.open(path, OpenOptions(precision="f32")) as session:
        return [np.array(output) for output in session.infer(IMAGE)]


def worst_db(reference: list[np.ndarray], found: list[np.ndarray]) -> float:
    qualities = [sqnr_db(r, f) for r, f in zip(reference, found, strict=True)]
    return min(999.0 if db is None else db for db in qualities)


def errors(path: Path) -> set[tuple[str, str]]:
    return {(f.rule, f.node) for f in lint(ir.load(path), "openvino") if f.severity == "error"}


def built(path: Path) -> Path:
    return OPENVINO.build(path, load_target("cpu"), path.with_name("engine.xml")).engine


def precisions(path: Path) -> dict[str, str]:
    """Of the executed convolutions, by the nodes in them."""
    with OPENVINO.open(path, OpenOptions(precision="f32")) as session:
        layers = session.executed_precisions()
    return {
        node: layer.precision
        for layer in layers
        if layer.kind in OPENVINO.convolutions
        for node in layer.nodes
    }
