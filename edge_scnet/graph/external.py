"""Weights that an ONNX file keeps in files beside it: found, checked and read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line

_SAVE_AGAIN = (
    "save the model with its data beside it: onnx.save(model, path, save_as_external_data=True)"
)


def load_external(proto: Any, path: Path, *, what: str) -> None:
    """Reads the weights that lie in other files into a model, in place.

    Args:
        path: the file that the model was read from.
        what: the file in the words of an error.

    Raises:
        ArtifactError: a file is missing, too short, a link, or outside the model's folder.
    """
    onnx = require("onnx", extra="cpu")
    folder = path.parent.resolve()
    for tensor in _external_tensors(proto.graph):
        target = _checked(tensor, folder, what)
        try:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        except Exception as error:
            raise ArtifactError(
                f"{what}: {target.name} does not hold all of {tensor.name!r}: {error}",
                hint="copy the file beside the model again",
            ) from error
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def external_files(proto: Any, path: Path, *, what: str) -> list[Path]:
    """The files that a model keeps its weights in; none where it holds them itself.

    Args:
        path: the file that the model was read from.
        what: the file in the words of an error.

    Raises:
        ArtifactError: one of them is missing, a link, or outside the model's folder.
    """
    folder = path.parent.resolve()
    return list(
        dict.fromkeys(_checked(tensor, folder, what) for tensor in _external_tensors(proto.graph))
    )


def check_tensors(proto: Any, *, what: str) -> None:
    """Holds every weight that a model holds itself to the size that it says.

    A library may read a weight only when it is used, and not say then which it was.

    Args:
        what: the file in the words of an error.

    Raises:
        ArtifactError: names the first that is of another size or type than its values.
    """
    onnx = require("onnx", extra="cpu")
    for tensor in _tensors(proto.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            continue
        try:
            onnx.numpy_helper.to_array(tensor)
        except Exception as error:
            raise ArtifactError(
                f"{what}: the weight {tensor.name!r} cannot be read: {first_line(error)}",
                hint="the file may be damaged: export or copy it again",
            ) from error


def _external_tensors(graph: Any) -> Iterator[Any]:
    """The tensors of a graph and of those inside its nodes whose data lie in another file."""
    external = require("onnx", extra="cpu").TensorProto.EXTERNAL
    return (tensor for tensor in _tensors(graph) if tensor.data_location == external)


def _tensors(graph: Any) -> Iterator[Any]:
    """The tensors of a graph and of those inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _checked(tensor: Any, folder: Path, what: str) -> Path:
    """The file that holds a tensor's data.

    Raises:
        ArtifactError: it is missing, a link, or outside the folder.
    """
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    if "\0" in location:
        raise ArtifactError(
            f"{what}: {tensor.name!r} has its data in {location!r}, which is no file's name",
            hint=_SAVE_AGAIN,
        )
    target = folder / location
    if not target.resolve().is_relative_to(folder) or target.is_symlink():
        where = "a link" if target.is_symlink() else "outside the model's folder"
        raise ArtifactError(
            f"{what}: {tensor.name!r} has its data in {location!r}, {where}", hint=_SAVE_AGAIN
        )
    if not target.is_file():
        raise ArtifactError(
            f"{what}: the external data file {location!r} of {tensor.name!r} is missing",
            hint="copy it beside the model: it belongs to it",
        )
    return target
