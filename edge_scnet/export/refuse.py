"""Refuses what no later stage can use, as soon as a user's ONNX file is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError
from edge_scnet.export.fold import RANDOM_OPS
from edge_scnet.export.nodes import all_nodes
from edge_scnet.graph.model import opset_of

_DOMAINS = ("", "ai.onnx")
# What operators of other makers are for, and how to do without.
_ADVICE = {
    "com.microsoft": (
        "ONNX Runtime wrote it for itself: pass the file from before its optimisation, or"
        " optimise it with ORT_ENABLE_BASIC"
    ),
    "com.microsoft.extensions": (
        "they read or write pictures and text around the network: pass the network alone"
    ),
    "com.microsoft.nchwc": (
        "ONNX Runtime wrote it for one processor: pass the file from before its optimisation"
    ),
    "ai.onnx.ml": "they are no network's: pass the part of it that is one",
    "org.pytorch.aten": "export the module with torch.onnx.export(..., dynamo=True)",
}
# The opset from which BatchNormalization and Dropout say themselves whether they are in training.
_TRAINING_OPSET = {"BatchNormalization": 14, "Dropout": 12}
_TRAINING_INPUT = 2  # of Dropout


def refuse(proto: Any, path: Path) -> None:
    """Raises ArtifactError for the first thing in a file that cannot be used.

    That are operators of a domain of its own; outputs that are none, are no tensors of numbers or
    that no node gives; and random numbers, or layers in training mode, on the way to an output.
    """
    _foreign_operators(proto, path)
    _outputs(proto, path)
    _random(proto, path)


def _foreign_operators(proto: Any, path: Path) -> None:
    own = {(function.domain, function.name) for function in proto.functions}
    bodies = [proto.graph.node, *(function.node for function in proto.functions)]
    foreign: dict[str, dict[str, str]] = {}
    for nodes in bodies:
        for node in all_nodes(nodes):
            if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
                foreign.setdefault(node.domain, {}).setdefault(node.op_type, _place(node))
    if not foreign:
        return
    domain = next(iter(foreign))
    operators = foreign[domain]
    first, place = next(iter(operators.items()))
    named = ", ".join(list(operators)[:5])
    raise ArtifactError(
        f"{path}: the file has operators of {domain}: {named}, first {first} at {place}; those of"
        " ONNX itself are supported",
        hint=_ADVICE.get(domain, f"export the model without {first}, or pass the part before it"),
    )


def _outputs(proto: Any, path: Path) -> None:
    graph, tensor = proto.graph, require("onnx", extra="cpu").TensorProto
    if not graph.output:
        raise ArtifactError(
            f"{path} has no output", hint="export the model again: it must return a tensor"
        )
    given = {value.name for value in graph.input} | {item.name for item in graph.initializer}
    given |= {item.values.name for item in graph.sparse_initializer}
    given |= {name for node in graph.node for name in node.output}
    for value in graph.output:
        kind = value.type.WhichOneof("value")
        if value.name not in given:
            raise ArtifactError(
                f"{path}: no node gives output {value.name!r}",
                hint="the file was cut or edited: take the output out of it, or export it again",
            )
        if kind not in (None, "tensor_type"):
            raise ArtifactError(
                f"{path}: output {value.name!r} is of {_words(kind)}; tensors are supported",
                hint="let the model return the tensors themselves, as several outputs",
            )
        number = value.type.tensor_type.elem_type
        if number in (tensor.STRING, tensor.COMPLEX64, tensor.COMPLEX128):
            raise ArtifactError(
                f"{path}: output {value.name!r} is of {tensor.DataType.Name(number)}; numbers"
                " are supported",
                hint="cut the model in front of it: onnx.utils.extract_model",
            )


def _words(kind: str) -> str:
    return kind.removesuffix("_type").replace("_", " ") + " type"


def _random(proto: Any, path: Path) -> None:
    """Refuses random numbers and layers in training mode that an output depends on."""
    graph = proto.graph
    makers = {name: node for node in graph.node for name in node.output if name}
    tainted: dict[str, tuple[Any, str]] = {}
    for output in graph.output:
        found = next(_culprits(makers, output.name, proto), None)
        if found is not None:
            tainted[output.name] = found
    if not tainted:
        return
    name, (node, why) = next(iter(tainted.items()))
    sound = [output.name for output in graph.output if output.name not in tainted]
    stored = {item.name for item in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in stored]
    hint = "export the model in evaluation mode: model.eval()"
    if node.op_type in RANDOM_OPS:
        hint = "export the part that is not random, as its mean or its probabilities"
    if sound:
        hint += (
            f"; outputs without it: onnx.utils.extract_model({str(path)!r}, 'part.onnx',"
            f" {inputs}, {sound})"
        )
    raise ArtifactError(
        f"{path}: {node.op_type} at {_place(node)}, on the way to output {name!r}, {why}", hint=hint
    )


def _culprits(makers: Mapping[str, Any], output: str, proto: Any) -> Iterator[tuple[Any, str]]:
    """The nodes that make an output random or dependent on other images, and what they do."""
    seen: set[str] = set()
    pending = [output]
    constants = _truths(proto.graph)
    opset = opset_of(proto)
    while pending:
        name = pending.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        for node in all_nodes([makers[name]]):
            pending += node.input
            if node.op_type in RANDOM_OPS:
                yield node, "draws random numbers: two runs of the model differ"
            elif node.op_type in _TRAINING_OPSET and _trains(node, opset, constants):
                what = (
                    "drops values by chance"
                    if node.op_type == "Dropout"
                    else "normalises by the images of the batch"
                )
                yield node, f"is in training mode: it {what}"


def _trains(node: Any, opset: int, constants: Mapping[str, bool]) -> bool:
    if node.op_type == "Dropout":
        inputs = list(node.input)
        given = inputs[_TRAINING_INPUT] if len(inputs) > _TRAINING_INPUT else ""
        return opset >= _TRAINING_OPSET["Dropout"] and constants.get(given, False)
    if opset >= _TRAINING_OPSET["BatchNormalization"]:
        return any(item.name == "training_mode" and item.i for item in node.attribute)
    return any(node.output[1:])


def _truths(graph: Any) -> dict[str, bool]:
    """The stored truth values of a graph, by name."""
    numpy_helper = require("onnx", extra="cpu").numpy_helper
    stored = {item.name: item for item in graph.initializer}
    stored |= {
        node.output[0]: item.t
        for node in graph.node
        if node.op_type == "Constant"
        for item in node.attribute
        if item.name == "value"
    }
    boolean = require("onnx", extra="cpu").TensorProto.BOOL
    return {
        name: bool(np.any(numpy_helper.to_array(item)))
        for name, item in stored.items()
        if item.data_type == boolean
    }


def _place(node: Any) -> str:
    return repr(node.name or next((name for name in node.output if name), "a node without a name"))
