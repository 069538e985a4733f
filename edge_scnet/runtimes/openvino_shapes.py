"""The shapes of an OpenVINO model: those it declares, and other ones given to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.errors import BackendError, TargetError
from edge_scnet.runtimes.base import EngineInput


def declared_input(port: Any) -> EngineInput:
    """An input as the model declares it."""
    kind = port.element_type
    try:
        dtype = np.dtype(kind.to_dtype()).name
    except RuntimeError:  # NumPy has no such type
        dtype = str(kind.get_type_name())
    sizes = port.partial_shape
    if sizes.rank.is_dynamic:
        raise BackendError(
            f"input {port.any_name!r} has no number of axes",
            hint="save the model with the shapes that it is to run with",
        )
    shape = tuple(None if d.is_dynamic else int(d.get_length()) for d in sizes)
    return EngineInput(name=str(port.any_name), shape=shape, dtype=dtype)


def reshaped(core: Any, artifact: Path, batch: int) -> Any:
    """Returns the model for another batch.

    OpenVINO's `reshape` mends what depends on the input's shape, but not the sizes that a Resize
    names.

    Raises:
        TargetError: OpenVINO refuses, in its own words.
    """
    from openvino import opset13

    model = core.read_model(artifact)
    built = int(model.input(0).shape[0])
    try:
        model.reshape({port: [batch, *(int(d) for d in port.shape[1:])] for port in model.inputs})
        for node in model.get_ordered_ops():
            if node.get_type_name() != "Interpolate":
                continue
            sizes = node.input(1).get_source_output().get_node()
            if (
                sizes.get_type_name() == "Constant"
                and sizes.data.dtype.kind == "i"
                and sizes.data[0] == built
            ):
                mended = sizes.data.copy()
                mended[0] = batch
                node.input(1).replace_source_output(opset13.constant(mended).output(0))
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        raise TargetError(
            f"{artifact.name} was built for batch {built} and cannot be reshaped to {batch}:"
            f" {first_lines(error)}",
            hint=f"edge-scnet build --batch {batch}",
        ) from error
    return model


def first_lines(error: Exception) -> str:
    """Returns OpenVINO's message without its source positions and empty lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return " ".join(kept or lines)[:400]
