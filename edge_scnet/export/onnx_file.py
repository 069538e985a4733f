"""A user's ONNX file, read and checked before anything is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.export.refuse import refuse
from edge_scnet.graph import external
from edge_scnet.graph.model import opset_of

_QUANTIZED_OPS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
    }
)

_TAKEN_BACK = range(18, 21)
_ASIDE = "edge_scnet.aside"


def read_onnx(path: Path) -> Any:
    """Returns the file as a protobuf with its weights.

    Raises:
        ArtifactError: it is no valid float graph with an input, or its external data is missing or
            outside its folder; as `refuse`.
    """
    onnx = require("onnx", extra="cpu")
    try:
        proto = onnx.load(str(path), load_external_data=False)
        external.load_external(proto, path, what=str(path))
        _state_outputs(proto)
        _check(proto)
        external.check_tensors(proto, what=str(path))
    except ArtifactError:
        raise
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{path}: {error}", hint=f"copy it beside the model: ls {path.parent}"
        ) from error
    except Exception as error:
        size = f"{path.stat().st_size:,} bytes"
        hint = f"the file may be truncated ({size}): export or copy it again"
        if "is deprecated" in str(error):
            hint = "its opset has another operator for that: export the model again"
        raise ArtifactError(
            f"{path} is not a valid ONNX file: {first_line(error)}", hint=hint
        ) from error
    quantized = [node.op_type for node in proto.graph.node if node.op_type in _QUANTIZED_OPS]
    if quantized:
        raise ArtifactError(
            f"{path} is quantized already: it has {quantized[0]}", hint="pass the float model"
        )
    if not real_inputs(proto):
        raise ArtifactError(f"{path} has no input", hint="pass a model that is fed with samples")
    refuse(proto, path)
    return proto


def _state_outputs(proto: Any) -> None:
    """Writes the shapes of outputs that have none, which onnx's check wants, in place."""
    outputs = proto.graph.output
    if all(value.type.WhichOneof("value") is not None and _is_shaped(value) for value in outputs):
        return
    inferred = require("onnx", extra="cpu").shape_inference.infer_shapes(proto)
    for value, found in zip(outputs, inferred.graph.output, strict=True):
        if not _is_shaped(value) and found.type.WhichOneof("value") is not None:
            value.type.CopyFrom(found.type)
            # none is known: as an output of one axis of any size, it is read all the same
            if not _is_shaped(value):
                value.type.tensor_type.shape.dim.add()


def _is_shaped(value: Any) -> bool:
    kind = value.type.WhichOneof("value")
    return kind not in (None, "tensor_type") or value.type.tensor_type.HasField("shape")


def _check(proto: Any) -> None:
    """Raises onnx's error where a file is not valid.

    GroupNormalization of opsets 18 to 20 is taken: onnx took it back when exporters had written it,
    and ONNX Runtime still runs it.
    """
    onnx = require("onnx", extra="cpu")
    opset = opset_of(proto)
    aside = [
        (node, node.domain)
        for node in proto.graph.node
        if node.op_type == "GroupNormalization" and opset in _TAKEN_BACK
    ]
    # onnx looks at no operators of a domain that it does not know
    proto.opset_import.add(domain=_ASIDE, version=1)
    for node, _ in aside:
        node.domain = _ASIDE
    try:
        onnx.checker.check_model(proto)
    finally:
        for node, domain in aside:
            node.domain = domain
        del proto.opset_import[-1]


def real_inputs(proto: Any) -> list[Any]:
    """Returns the inputs that are fed: old files list their weights among them."""
    initializers = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in initializers]


def external_files(path: Path) -> list[Path]:
    """Returns the files that an ONNX file keeps its weights in; none where it holds them itself.

    Raises:
        ArtifactError: one of them is missing, or outside the model's folder.
    """
    onnx = require("onnx", extra="cpu")
    proto = onnx.load(str(path), load_external_data=False)
    return external.external_files(proto, path, what=str(path))
