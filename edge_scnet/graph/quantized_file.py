"""An ONNX file that another quantizer made, read into the form that everything else here takes.

external data           read, and checked to lie beside the file
opset 10 to 12          lifted to 13, the first with scales by channel; ONNX Runtime's quantizer
                        writes the attribute `axis` into older ones all the same
QOperator form          written as Q/DQ pairs
com.microsoft's Q/DQ    ONNX's own operators where these have the type of the codes
scales of one element   single numbers
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.core.foreign import file_fault
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.graph.external import check_tensors, load_external
from edge_scnet.graph.model import add_initializer, opset_of
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    QUANTIZE,
    codes_type,
    constant,
    input_of,
    is_qoperator,
    pairs,
)
from edge_scnet.graph.qoperator import to_pairs

if TYPE_CHECKING:
    import onnx_ir as ir

# ONNX's operator changelog: the first opset with scales by channel, and with 16-bit codes.
_PER_CHANNEL_OPSET, _WIDE_OPSET = 13, 21
_IR_VERSION = 8
# Operators that onnx's converter lifts to another meaning, below the opset.
_LIFTED_WRONGLY = {"Resize": 11, "Upsample": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedFile:
    """A quantized graph in Q/DQ form, and what was done to the file's own."""

    model: ir.Model
    # in words; nothing where it is taken as it is
    notes: tuple[str, ...] = ()


def read_quantized(path: Path, *, what: str | None = None) -> QuantizedFile:
    """Reads a quantized ONNX file.

    Args:
        what: the file in the words of an error; None: its path.

    Raises:
        ArtifactError: no such file, no ONNX, nothing in it is quantized, external data that is
            missing or outside its folder, or an opset that cannot be lifted.
    """
    what = what or str(path)
    if fault := file_fault(path):
        raise ArtifactError(f"{what}: {fault}", hint=f"ls -l {path.parent}")
    ir_module = require("onnx_ir", extra="quantize")
    onnx = require("onnx", extra="cpu")
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise ArtifactError(
            f"{what} is no ONNX file that can be read: {first_line(error)}",
            hint="copy it again, or export it again",
        ) from error
    if not is_quantized_proto(proto):
        raise ArtifactError(
            f"{what} holds no Q/DQ: nothing in it is quantized",
            hint=f"a float model is quantized here: edge-scnet build {path}",
        )
    load_external(proto, path, what=what)
    check_tensors(proto, what=what)
    proto, notes = _lifted(proto, what)
    try:
        model: ir.Model = ir_module.from_proto(proto)
    except Exception as error:
        raise ArtifactError(
            f"{what} cannot be read: {first_line(error)}", hint="copy it again, or export it again"
        ) from error
    if renamed := _to_own_domain(model):
        notes.append(f"{renamed} Q/DQ of com.microsoft are ONNX's own here")
    if rewritten := to_pairs(model):
        notes.append(f"{rewritten} QLinear operators are written as Q/DQ pairs")
    _single_numbers(model)
    return QuantizedFile(model=model, notes=tuple(notes))


def is_quantized_proto(proto: Any) -> bool:
    """Tells whether a file's graph holds any quantization."""
    return any(
        node.op_type in (QUANTIZE, DEQUANTIZE) or is_qoperator(node) for node in proto.graph.node
    )


def _lifted(proto: Any, what: str) -> tuple[Any, list[str]]:
    """The graph at opset 13 or above, weights no more listed among its inputs."""
    stored = {tensor.name for tensor in proto.graph.initializer}
    fed = [value for value in proto.graph.input if value.name not in stored]
    del proto.graph.input[:]
    proto.graph.input.extend(fed)
    proto.ir_version = max(proto.ir_version, _IR_VERSION)
    opset = opset_of(proto)
    if opset >= _PER_CHANNEL_OPSET:
        return proto, []
    wrong = [node for node in proto.graph.node if opset < _LIFTED_WRONGLY.get(node.op_type, 0)]
    if wrong:
        raise ArtifactError(
            f"{what}: {wrong[0].op_type} {wrong[0].name or wrong[0].output[0]} of opset {opset} has"
            f" another meaning in opset {_PER_CHANNEL_OPSET}, the first with scales by channel",
            hint="export the float model with opset 13 or newer, and quantize that",
        )
    converter = require("onnx.version_converter", extra="cpu")
    try:
        lifted = converter.convert_version(proto, _PER_CHANNEL_OPSET)
    except Exception as error:
        raise ArtifactError(
            f"{what} has opset {opset}; it cannot be lifted to {_PER_CHANNEL_OPSET}:"
            f" {first_line(error)}",
            hint="export the float model with opset 13 or newer, and quantize that",
        ) from error
    lifted.ir_version = proto.ir_version
    return lifted, [f"opset {opset} is lifted to {_PER_CHANNEL_OPSET}"]


def _to_own_domain(model: ir.Model) -> int:
    """Makes com.microsoft's Q/DQ ONNX's own where ONNX has their type of codes; counts them."""
    opset, changed = model.opset_imports.get("", 0), 0
    for node in pairs(model):
        kind = codes_type(node)
        known = kind in ("INT8", "UINT8", "INT32") or (
            kind in ("INT16", "UINT16") and opset >= _WIDE_OPSET
        )
        if node.domain == "com.microsoft" and known:
            node.domain, changed = "", changed + 1
    return changed


def _single_numbers(model: ir.Model) -> None:
    """Writes scales and zero points that are lists of one number as this number.

    ONNX Runtime's quantizer writes a list of one for the scale and a number for the zero point.
    """
    for node in tuple(pairs(model)):
        for index in (1, 2):
            value = input_of(node, index)
            array = constant(value)
            if value is not None and array is not None and array.shape == (1,):
                name = f"{value.name}_number"
                made = model.graph.initializers.get(name)
                if made is None:
                    made = add_initializer(model.graph, name, array[0])
                node.replace_input_with(index, made)
