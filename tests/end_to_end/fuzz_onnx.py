"""ONNX files, changed where a parser still reads them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from tests.end_to_end.fuzz_changes import TEXTS


def changed_proto(data: bytes, rng: random.Random) -> bytes:
    """An ONNX file with another size, type, operator, name, opset or place of weights."""
    import onnx

    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 2))):
        rng.choice((_change_end, _change_node, _change_tensor, _change_opset))(model, rng)
    return bytes(model.SerializeToString())


def _change_opset(model: Any, rng: random.Random) -> None:
    model.opset_import[0].version = rng.choice((0, -1, 1, 6, 30, 1 << 40))


def _change_end(model: Any, rng: random.Random) -> None:
    """Changes an input or an output."""
    graph, way = model.graph, rng.randrange(5)
    value = rng.choice([*graph.input, *graph.output])
    dims = value.type.tensor_type.shape.dim
    if way == 0 and dims:
        rng.choice(list(dims)).dim_value = rng.choice((-1, 0, 1, 100_000, 2 * 10**9, 1 << 62))
    elif way == 1:
        value.type.tensor_type.elem_type = rng.choice((0, 1, 7, 8, 9, 14, 99))
    elif way == 2:
        del graph.output[:]
    elif way == 3:
        graph.output.append(graph.input[0])
    else:
        value.type.Clear()
        value.type.sequence_type.elem_type.tensor_type.elem_type = 1


def _change_node(model: Any, rng: random.Random) -> None:
    node, way = rng.choice(list(model.graph.node)), rng.randrange(3)
    if way == 0:
        node.domain, node.op_type = rng.choice((("com.acme", "Magic"), ("", "Loop"), ("", "")))
    elif way == 1:
        node.input[:] = [rng.choice(("", "nowhere", node.output[0]))]
    else:
        node.name = rng.choice([text for text in TEXTS if text != "\ud800"])


def _change_tensor(model: Any, rng: random.Random) -> None:
    tensor, way = rng.choice(list(model.graph.initializer)), rng.randrange(3)
    if way == 0:
        tensor.data_location = 1  # EXTERNAL
        places_of = ("../x", "/etc/passwd", "none.bin", "", "\x1b]0;t\x07", "a\0b")
        tensor.external_data.add(key="location", value=rng.choice(places_of))
        tensor.raw_data = b""
    elif way == 1:
        tensor.dims[:] = [rng.choice((-1, 0, 1 << 40)) for _ in tensor.dims] or [5]
    else:
        tensor.raw_data = rng.choice((b"", b"\0", np.float32("nan").tobytes()))
