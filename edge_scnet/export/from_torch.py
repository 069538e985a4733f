"""Exports a PyTorch module: traced, static, nodes named after its modules."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.export.opset import OLDEST_EXPORTED, lower
from edge_scnet.export.static import check_static
from edge_scnet.graph.names import name_nodes

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import Tensor, nn


def export_torch(
    model: nn.Module, input_shape: Sequence[int], *, opset: int, dynamic_batch: bool = False
) -> ir.Model:
    """Returns a PyTorch module in eval mode as an ONNX graph.

    Args:
        input_shape: N x C x H x W.
        dynamic_batch: leaves N open.

    Raises:
        ArtifactError: the module cannot run on this shape or gives no tensors; the exporter failed,
            gave another opset than asked for, or left shape arithmetic in the graph.
    """
    torch = require("torch", extra="export")
    require("onnxscript", extra="export")
    example = torch.zeros(*input_shape) if not dynamic_batch else torch.zeros(2, *input_shape[1:])
    # first by itself: the exporter's message for an input that the module cannot take is a page
    # long and names neither
    outputs_of(model, example)
    shapes = {"x": {0: torch.export.Dim("batch", min=1)}} if dynamic_batch else None
    with _quiet_exporter():
        try:
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=max(opset, OLDEST_EXPORTED),
                verbose=False,
                optimize=True,
                input_names=["input"],
                dynamic_shapes=tuple(shapes.values()) if shapes else None,
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
    if len(graph_model.graph.outputs) == 1:
        graph_model.graph.outputs[0].name = "logits"
    name_nodes(graph_model)
    check_static(graph_model, dynamic_batch=dynamic_batch)
    return graph_model if opset >= OLDEST_EXPORTED else lower(graph_model, opset)


def outputs_of(model: nn.Module, data: Tensor) -> list[np.ndarray]:
    """Runs a module and returns its outputs as a list, whether it gives one tensor or several.

    Raises:
        ArtifactError: it cannot run on this input, or returns something else.
    """
    torch = require("torch", extra="export")
    try:
        with torch.inference_mode():
            outputs = model(data)
    except Exception as error:
        raise ArtifactError(
            f"{type(model).__name__} does not run on a {' x '.join(map(str, data.shape))} input:"
            f" {first_line(error)}",
            hint="does --input-size fit the model? SCNet-50 and SCNet-101 need 97 pixels and more",
        ) from error
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    if wrong := [
        type(output).__name__ for output in outputs if not isinstance(output, torch.Tensor)
    ]:
        raise ArtifactError(
            f"{type(model).__name__} returns a {wrong[0]}; a tensor or a tuple of tensors is needed"
        )
    return [output.numpy() for output in outputs]


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
