"""What ONNX Runtime makes of a file: the nodes of its optimised graph.

The runtime tells no executed layers. It writes the graph that it optimised for this processor into
a file, of a second session, whose memory must not count as the engine's: so a child loads it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_scnet.core.child_process import start_python
from edge_scnet.core.json_records import decode, encode_pretty
from edge_scnet.core.optional import require
from edge_scnet.graph.onnxruntime_form import AVERAGE
from edge_scnet.runtimes.base import UNKNOWN_PRECISION, ExecutedLayer
from edge_scnet.runtimes.onnxruntime_loading import load_session

_ENTRY = "edge_scnet.runtimes.onnxruntime_layers:main"
# What the optimiser puts round the name of a node, or of a tensor, that it makes of another.
_PREFIX, _SUFFIX = "fused ", re.compile(r"(_nchwc|_nhwc|/duplicated|_token_\d+|/MatMulAddFusion)+$")
# Kinds that take up what is behind them, the layers that they are made of, and what they take up.
_FUSING = frozenset({"Conv", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "NhwcFusedConv"})
_PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
_FUSED = frozenset(
    {"Add", "BatchNormalization", "Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}
)
# Operators of integers, besides those that begin with QLinear.
_INTEGER = frozenset({"ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "QGemm"})
# With the zero point of its result.
_QGEMM_INPUTS = 9
_TYPES = {
    "FLOAT": "f32",
    "FLOAT16": "f16",
    "BFLOAT16": "bf16",
    "UINT8": "uint8",
    "INT8": "int8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What the child is asked for."""

    artifact: str
    threads: int
    # a folder for the optimised graph
    folder: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What it found."""

    layers: tuple[ExecutedLayer, ...]


def executed_layers(artifact: Path, threads: int) -> tuple[ExecutedLayer, ...]:
    """Returns the nodes of a file's graph as ONNX Runtime has optimised it for this processor.

    Returns:
        Nothing where the process that is to tell them fails, as for lack of memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        job = _Job(
            artifact=str(artifact.absolute()), threads=threads, folder=folder, answer=str(answer)
        )
        process = start_python(_ENTRY, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.communicate(encode_pretty(job).encode())
        try:
            return decode(_Answer, answer.read_bytes()).layers
        except (OSError, ValueError):
            return ()


def main() -> None:
    """The process: reads its job, loads the file, and writes what became of it."""
    job = decode(_Job, sys.stdin.read())
    path = Path(job.folder, "optimised.onnx")

    def change(settings: Any) -> None:
        settings.intra_op_num_threads = job.threads
        settings.optimized_model_filepath = str(path)
        # weights go into a file beside it, which nobody reads
        place = "session.optimized_model_external_initializers"
        settings.add_session_config_entry(f"{place}_file_name", "weights.bin")
        settings.add_session_config_entry(f"{place}_min_size_in_bytes", "1024")

    load_session(Path(job.artifact), change)
    onnx = require("onnx", extra="quantize")
    graph, original = (
        onnx.load(str(file), load_external_data=False).graph for file in (path, job.artifact)
    )
    answer = _Answer(layers=tuple(_layers_of(graph, original, onnx)))
    Path(job.answer).write_text(encode_pretty(answer), encoding="utf-8")


def _layers_of(graph: Any, original: Any, onnx: Any) -> Iterator[ExecutedLayer]:
    """The nodes of an optimised graph.

    A node is named as in the file, or with what the optimiser puts round that name. A convolution
    in float, written for the processor's vectors, is named after what was fused into it: its output
    tells which one it is. The file has no types of outputs.

    Args:
        original: the graph that was loaded.
    """
    producers = {name: node for node in original.node for name in node.output}
    names = {number: name for name, number in onnx.TensorProto.DataType.items()}
    types = {
        value.name: names.get(value.type.tensor_type.elem_type, "")
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    types |= {item.name: names.get(item.data_type, "") for item in graph.initializer}
    for node in graph.node:
        cast = next((item.i for item in node.attribute if item.name == "to"), None)
        given = _type_of_result(node, types) if cast is None else names.get(cast, "")
        types |= dict.fromkeys(node.output, given)
        nodes = dict.fromkeys([_plain(node.name), *map(_plain, node.output)])
        if node.op_type in _FUSING:
            nodes |= dict.fromkeys(
                name for output in tuple(nodes) for name in _products(output, producers)
            )
        yield ExecutedLayer(
            kind="QLinearAveragePool" if _plain(node.name).endswith(AVERAGE) else node.op_type,
            precision=_precision(node, types),
            nodes=tuple(name for name in nodes if name),
            name=node.name,
            writes=_TYPES.get(types.get(node.output[0], ""), UNKNOWN_PRECISION),
        )


def _products(tensor: str, producers: Mapping[str, Any]) -> Iterator[str]:
    """The names of the layers that give a tensor, themselves or through what is fused with them."""
    node = producers.get(tensor)
    if node is None:
        return
    if node.op_type in _PRODUCTS:
        yield node.name or node.output[0]
    elif node.op_type in _FUSED:
        for source in node.input:
            yield from _products(source, producers)


def _plain(name: str) -> str:
    """A name without what the optimiser adds."""
    return _SUFFIX.sub("", name.removeprefix(_PREFIX))


def _type_of_result(node: Any, types: Mapping[str, str]) -> str:
    """The type of what a node gives; most give what they take."""
    read = [types.get(name, "") for name in node.input]
    if node.op_type == "DequantizeLinear" or node.op_type == "MatMulIntegerToFloat":
        return "FLOAT"
    if node.op_type == "QuantizeLinear":
        return read[2] if len(read) > 2 else "UINT8"
    if node.op_type == "QGemm" and len(read) < _QGEMM_INPUTS:
        return "FLOAT"  # without a zero point of its result
    return _type_of_codes(read) if _is_integer(node) else next(iter(read), "")


def _precision(node: Any, types: Mapping[str, str]) -> str:
    """The type of a node's first input; of integer operators that of the codes they read."""
    read = [types.get(name, "") for name in node.input]
    kind = _type_of_codes(read) if _is_integer(node) else next(iter(read), "")
    return _TYPES.get(kind, kind.lower() or UNKNOWN_PRECISION)


def _is_integer(node: Any) -> bool:
    return node.op_type.startswith("QLinear") or node.op_type in _INTEGER


def _type_of_codes(read: Sequence[str]) -> str:
    """The type of the codes of an integer operator: that of its first tensor, or zero point."""
    return next((kind for kind in read if kind in ("UINT8", "INT8")), "INT8")
