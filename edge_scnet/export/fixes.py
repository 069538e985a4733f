"""Inputs that the user gives a fixed value: NAME=VALUE, a number or an .npy file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_scnet.core.spec import MOST_VALUES
from edge_scnet.data.array_headers import read_npy
from edge_scnet.errors import ArtifactError
from edge_scnet.export.declared import FileInput, listed, words


def fixed_values(
    inputs: Sequence[FileInput], fixes: Sequence[str], path: Path
) -> dict[str, np.ndarray]:
    """Returns the values that the user gives, by input, in the inputs' types.

    Args:
        fixes: NAME=VALUE.

    Raises:
        ArtifactError: an input that the file does not have, or a value that does not fit.
    """
    by_name = {item.name: item for item in inputs}
    fixed = {}
    for fix in fixes:
        # a name may hold "=": the longest that is an input's wins
        names = [name for name in by_name if fix.startswith(f"{name}=")]
        if not names:
            raise ArtifactError(
                f"--fix {fix}: {path} has no input of that name; it has {listed(inputs)}",
                hint=f"--fix {inputs[-1].name}=VALUE, a number or an .npy file",
            )
        item = by_name[max(names, key=len)]
        fixed[item.name] = _value(item, fix[len(item.name) + 1 :])
    return fixed


def _value(item: FileInput, text: str) -> np.ndarray:
    """The value of a fixed input: a number for all of it, or an array.

    Raises:
        ArtifactError: it cannot be read, or does not fit the input.
    """
    allowed = "a number, or an .npy file of the input's shape"
    if text.endswith(".npy"):
        try:
            array = read_npy(Path(text))
        except ValueError as error:
            raise ArtifactError(
                f"--fix {item.name}: {text} cannot be read: {error}", hint=allowed
            ) from error
    else:
        try:
            array = np.array(float(text))
        except ValueError:
            raise ArtifactError(
                f"--fix {item.name}: {text!r} is not {allowed}", hint=f"--fix {item.name}=1"
            ) from None
        if None in item.shape[1:]:
            raise ArtifactError(
                f"--fix {item.name}={text}: the input's sizes are open, {words(item.shape)}",
                hint=f"--fix {item.name}=FILE.npy, an array of the shape that is meant",
            )
    if not item.is_numeric or array.dtype.kind not in "fiub":
        raise ArtifactError(
            f"--fix {item.name}: {text} is {array.dtype}, the input {item.dtype}; both must be"
            " numbers",
            hint=allowed,
        )
    if array.ndim == 0:
        sizes = [size or 1 for size in item.shape]
        if math.prod(sizes) > MOST_VALUES:
            raise ArtifactError(
                f"--fix {item.name}={text}: the input is {words(item.shape)}, too large to hold",
                hint="export the model for the size of a real input",
            )
        array = np.full(sizes, array)
    fits = array.ndim == len(item.shape) and all(
        size is None or have == size for have, size in zip(array.shape, item.shape, strict=True)
    )
    if not fits or not array.size:
        raise ArtifactError(
            f"--fix {item.name}: {text} is {words(array.shape)}, the input {words(item.shape)}",
            hint=allowed,
        )
    with np.errstate(over="ignore", invalid="ignore"):
        converted: np.ndarray = array.astype(item.dtype)
    # real numbers are rounded to the input's type: 0.1 is none of float32's
    rounded = converted.dtype.kind == "f" and np.array_equal(
        np.isfinite(converted), np.isfinite(array)
    )
    if not rounded and not np.array_equal(converted, array):
        raise ArtifactError(
            f"--fix {item.name}: {text} has values that {item.dtype} cannot hold", hint=allowed
        )
    return converted
