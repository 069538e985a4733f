"""Exports a PyTorch module: traced, static, nodes named after its modules."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.core.optional import require
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.export.opset import OLDEST_EXPORTED, lower
from edge_scnet.export.static import check_static
from edge_scnet.export.torch_call import (
    call_arguments,
    check_inputs,
    flat_outputs,
    named_outputs_of,
    tensors_of,
)
from edge_scnet.graph.names import name_nodes

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn


def example_of(spec: ModelSpec, batch: int) -> np.ndarray:
    """Returns a batch of zeros, as `core.feeds` has them."""
    first = np.zeros((batch, *spec.input_shape), np.float32)
    if not spec.more_inputs:
        return first
    others = {item.name: np.zeros((batch, *item.shape), item.dtype) for item in spec.more_inputs}
    return batch_of_arrays({str(spec.input_name): first, **others})


def export_torch(
    model: nn.Module,
    example: Sequence[int] | np.ndarray,
    *,
    opset: int,
    dynamic_batch: bool = False,
) -> ir.Model:
    """Returns a PyTorch module in eval mode as an ONNX graph.

    Its inputs are called as in the batch, its outputs as `torch_call.names_and_tensors` says.

    Args:
        example: a batch as `core.feeds` has them, or the shape of one for a single input.
        dynamic_batch: leaves N open.

    Raises:
        ArtifactError: the module cannot run on this shape or gives no tensors; the exporter failed,
            gave another opset than asked for, or left shape arithmetic in the graph.
    """
    torch = require("torch", extra="export")
    require("onnxscript", extra="export")
    batch = example if isinstance(example, np.ndarray) else np.zeros(example, np.float32)
    if dynamic_batch:
        batch = np.zeros((2, *batch.shape[1:]), batch.dtype)
    tensors = tensors_of(batch)
    check_inputs(model, list(tensors))
    # first by itself: the exporter's message for an input that the module cannot take is a page
    # long and names neither
    outputs = list(named_outputs_of(model, batch))
    arguments, keywords = call_arguments(model, tensors)
    with _quiet_exporter(), flat_outputs(model):
        try:
            program = torch.onnx.export(
                model,
                arguments,
                kwargs=keywords or None,
                dynamo=True,
                opset_version=max(opset, OLDEST_EXPORTED),
                verbose=False,
                optimize=True,
                input_names=_input_names(tensors, arguments, keywords),
                dynamic_shapes=_dynamic(arguments, keywords) if dynamic_batch else None,
            )
        except Exception as error:
            raise ArtifactError(
                f"torch.onnx.export failed on {type(model).__name__}:"
                f" {first_line(error.__cause__ or error)}",
                hint=(
                    "the module must be traceable by torch.export: try torch.export.export(model,"
                    " (example,)) to see why"
                ),
            ) from error
    graph_model: ir.Model = program.model
    written = graph_model.opset_imports.get("", 0)
    # asked for 17 the dynamo exporter logs a traceback and returns 18 without an exception
    if written != max(opset, OLDEST_EXPORTED):
        raise ArtifactError(f"the exporter wrote opset {written}, the target wants {opset}")
    _name_ends(graph_model.graph, outputs)
    name_nodes(graph_model)
    check_static(graph_model, dynamic_batch=dynamic_batch)
    return graph_model if opset >= OLDEST_EXPORTED else lower(graph_model, opset)


def _input_names(
    tensors: Mapping[str, Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> list[str]:
    """The names of the graph's inputs, in the order of a call."""
    by_tensor = {id(tensor): name for name, tensor in tensors.items()}
    return [by_tensor[id(tensor)] for tensor in (*arguments, *keywords.values())]


def _dynamic(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """The batch axis of every input, left open."""
    torch = require("torch", extra="export")
    axes = {0: torch.export.Dim("batch", min=1)}
    shapes = tuple(axes for _ in arguments)
    return shapes if not keywords else (*shapes, *(axes for _ in keywords))


def _name_ends(graph: ir.Graph, outputs: Sequence[str]) -> None:
    """Gives the outputs of a graph their names, in place; other values that have them make way."""
    if len(graph.outputs) != len(outputs):
        return
    wanted = set(outputs)
    ends = {id(value) for value in graph.outputs}
    inputs = {str(value.name) for value in graph.inputs}
    for value in tuple(graph.initializers.values()):
        if value.name in wanted and id(value) not in ends:
            _rename_initializer(graph, value, f"{value.name}:stored")
    for value, name in zip(graph.outputs, outputs, strict=True):
        if id(value) not in {id(item) for item in graph.inputs}:
            # a state that goes in and out under one name must have two in ONNX
            value.name = f"{name}_out" if name in inputs else name


def _rename_initializer(graph: ir.Graph, value: ir.Value, name: str) -> None:
    del graph.initializers[str(value.name)]
    value.name = name
    graph.initializers[name] = value


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silences warnings and logs: errors come as exceptions.

    The exporter warns of operators of packages that are not installed, and logs tracebacks.
    """
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
