"""The inputs of a user's ONNX file as it declares them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.core.spec import MOST_VALUES
from edge_scnet.errors import ArtifactError

# The largest batch that an engine is built for.
_LARGEST_BATCH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInput:
    """An input as the file declares it."""

    name: str
    # with the batch axis; None: left open
    shape: tuple[int | None, ...]
    # NumPy's name of the type
    dtype: str

    @property
    def is_numeric(self) -> bool:
        """Whether it takes numbers or truth values, and no texts."""
        return self.dtype.startswith(("float", "bfloat", "int", "uint", "bool"))


def declared(value: Any, path: Path) -> FileInput:
    """Returns an input as the file declares it; -1 stands for an open size in some files.

    Raises:
        ArtifactError: it is no tensor, or a size of it is impossible.
    """
    helper = require("onnx", extra="cpu").helper
    kind = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type":
        raise ArtifactError(
            f"{path}: input {value.name!r} is no tensor: sequences, maps and optional inputs cannot"
            " be fed",
            hint="export the model with tensors as inputs, one for each element",
        )
    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
    if impossible := [size for size in dims if size == 0 or size < -1]:
        raise ArtifactError(
            f"{path}: input {value.name!r} has a size of {impossible[0]}: {words(dims)}; sizes are"
            " 1 and more, or open",
            hint="export the model again with the size of a real input",
        )
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
    except KeyError:
        dtype = "of no known type"
    return FileInput(
        name=value.name, shape=tuple(size if size > 0 else None for size in dims), dtype=dtype
    )


def check_size(item: FileInput, sample: Sequence[int], path: Path) -> None:
    """Raises ArtifactError for a sample or a batch that no machine is to be asked for."""
    if math.prod(sample) > MOST_VALUES:
        raise ArtifactError(
            f"{path}: a sample of {item.name} is {words(sample)},"
            f" {math.prod(sample) * 4 / 1e9:.0f} GB; up to {MOST_VALUES * 4 / 1e9:.0f} GB"
            " is supported",
            hint="export the model for the size of a real input, or pass --input-shape where the"
            " file leaves it open",
        )
    if (item.shape[0] or 1) > _LARGEST_BATCH:
        raise ArtifactError(
            f"{path}: {item.name} has a batch of {item.shape[0]}; up to {_LARGEST_BATCH} is"
            " supported",
            hint="export the model with a batch of 1, or an open one",
        )


def words(shape: Sequence[int | None]) -> str:
    """Returns sizes as in "? x 3 x 8"."""
    return " x ".join("?" if size is None else str(size) for size in shape) or "a single number"


def listed(inputs: Sequence[FileInput]) -> str:
    """Returns inputs as a list in words."""
    return ", ".join(f"{item.name!r} ({item.dtype} {words(item.shape)})" for item in inputs)
