"""Load, save, batch, expose a tensor, add and drop constants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.files import write_atomic
from edge_scnet.core.optional import require

if TYPE_CHECKING:
    import onnx_ir as ir


def load(path: Path) -> ir.Model:
    model: ir.Model = require("onnx_ir", extra="quantize").load(path)
    return model


def add_initializer(graph: ir.Graph, name: str, array: np.ndarray | np.generic) -> ir.Value:
    """A new constant of the graph."""
    module = require("onnx_ir", extra="quantize")
    tensor = module.tensor(np.asarray(array), name=name)
    value: ir.Value = module.Value(
        name=name, const_value=tensor, shape=tensor.shape, type=module.TensorType(tensor.dtype)
    )
    graph.register_initializer(value)
    return value


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def save(model: ir.Model, path: Path) -> None:
    """Writes the graph in one file, whole or not at all."""
    ir = require("onnx_ir", extra="export")
    with write_atomic(path) as temporary:
        ir.save(model, temporary)
