"""Graphs as inputs of tasks, and the task that runs one over a shard of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.feeds import feed_of
from edge_scnet.core.optional import require
from edge_scnet.graph.run import Observer, ort_session
from edge_scnet.scale.shards import from_bytes
from edge_scnet.scale.store import Arrays
from edge_scnet.scale.task import Inputs

if TYPE_CHECKING:
    import onnx_ir as ir


def graph_bytes(model: ir.Model) -> bytes:
    """A graph with its weights as an ONNX file has it."""
    ir_module = require("onnx_ir", extra="quantize")
    data: bytes = ir_module.serde.serialize_model(model).SerializeToString()
    return data


def graph_from(data: bytes) -> ir.Model:
    """The graph of `graph_bytes`, or of an ONNX file without others beside it."""
    ir_module, onnx = require("onnx_ir", extra="quantize"), require("onnx", extra="quantize")
    model: ir.Model = ir_module.serde.deserialize_model(onnx.load_from_string(data))
    return model


def run_batches(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """Runs a shard through a graph as a search simulates it, batch by batch.

    Args:
        inputs: "graph" and "samples".
        settings: "batch", that the graph takes; "first", the name of its first input; "outputs",
            the names of those wanted.

    Returns:
        Each output of each batch, by `name_of`.
    """
    return outputs_of(inputs.made(("graph",), _optimized), inputs, settings)


def outputs_of(session: Any, inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """What an opened graph gives for a shard; the rest as `run_batches`."""
    samples, batch, outputs = from_bytes(inputs["samples"]), settings["batch"], settings["outputs"]
    taken = [value.name for value in session.get_inputs()]
    found: Arrays = {}
    for number, start in enumerate(range(0, len(samples), batch)):
        feed = feed_of(samples[start : start + batch], settings["first"])
        values = session.run(outputs, {name: feed[name] for name in taken})
        found |= {name_of(number, i): np.asarray(value) for i, value in enumerate(values)}
    return found


def run_rows(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """Runs a shard through graphs, sample by sample, as the simulated evaluation does.

    Args:
        inputs: "samples", and the graphs as "0", "1" and so on.
        settings: "outputs", of each graph the names of its outputs.

    Returns:
        Each output of each sample, without its batch axis; for `rows_of`.
    """
    samples, found = from_bytes(inputs["samples"]), dict[str, np.ndarray]()
    for graph, outputs in enumerate(settings["outputs"]):
        observer = inputs.made((str(graph),), _observed, *outputs)
        for number, row in enumerate(observer.run([samples])):
            found |= {
                f"{graph}.{name_of(number, i)}": np.asarray(row[name])
                for i, name in enumerate(outputs)
            }
    return found


def rows_of(arrays: Arrays, outputs: Sequence[Sequence[str]]) -> Iterator[list[list[np.ndarray]]]:
    """By sample, of each graph its outputs, from what `run_rows` gave.

    Args:
        outputs: of each graph the names of its outputs.
    """
    for number in range(len(arrays) // sum(map(len, outputs))):
        yield [
            [arrays[f"{graph}.{name_of(number, output)}"] for output in range(len(names))]
            for graph, names in enumerate(outputs)
        ]


def name_of(number: int, output: int) -> str:
    """The name of an output in what a task gives back.

    Args:
        number: of the batch, or of the sample, in its shard.
    """
    return f"{number}.{output}"


def in_order(shards: Sequence[Arrays], outputs: int) -> Iterator[list[np.ndarray]]:
    """The outputs of each batch, or sample, of all shards, in their order."""
    for shard in shards:
        for number in range(len(shard) // outputs):
            yield [shard[name_of(number, output)] for output in range(outputs)]


def session_of(model: ir.Model) -> Any:
    """A graph opened as a search simulates it."""
    return ort_session(require("onnxruntime", extra="quantize"), model, optimize=True)


def _optimized(data: bytes) -> Any:
    return session_of(graph_from(data))


def _observed(data: bytes, *outputs: str) -> Observer:
    return Observer(graph_from(data), outputs, at_once=1)
