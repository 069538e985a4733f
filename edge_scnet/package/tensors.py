"""The inputs and outputs of an engine, by the names, types and shapes that servers ask for.

An OpenVINO IR tells them in its XML. A plan tells them to TensorRT alone, on its own GPU: they are
read from the ONNX file that it was made of, which lies beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import FP16_FORM, INT8_FORM
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError
from edge_scnet.package.facts import PackageFacts

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# NumPy's names of an IR's types; bfloat16, which NumPy lacks, by its own name.
_IR_TYPES = {
    "FP16": "float16",
    "BF16": "bfloat16",
    "FP32": "float32",
    "FP64": "float64",
    "BOOL": "bool",
    "BOOLEAN": "bool",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
# Between the names of one tensor; in a name it stands behind a backslash.
_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output."""

    name: str
    # NumPy's name, or bfloat16
    dtype: str
    # with the batch in front; -1: known at run time only
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """What goes into an engine and what comes out, in the engine's order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def tensors_of(facts: PackageFacts) -> Tensors:
    """The inputs and outputs of an engine.

    Raises:
        ArtifactError: the file cannot be read, or a plan's ONNX file is not beside it; or it takes
            bytes and its manifest does not say so, or the reverse.
        MissingRuntimeError: onnx is not installed, which reads a plan's.
    """
    found = _read(facts)
    if not (found.inputs and found.outputs):
        raise ArtifactError(
            f"{facts.engine.path} has no inputs and outputs that could be read", hint=facts.rebuild
        )
    taken, said = found.inputs[0].dtype, facts.input.dtype
    if "uint8" in (taken, said) and taken != said:
        raise ArtifactError(
            f"{facts.engine.path} takes {taken}, and its manifest says {said}", hint=facts.rebuild
        )
    return found


def _read(facts: PackageFacts) -> Tensors:
    engine = facts.engine.path
    try:
        if engine.suffix == ".xml":
            return _of_ir(engine)
        return _of_onnx(engine if engine.suffix == ".onnx" else _form_of(facts))
    except (OSError, ValueError, SyntaxError) as error:  # SyntaxError: of XML
        raise ArtifactError(
            f"the inputs and outputs of {engine} cannot be read: {error}", hint=facts.rebuild
        ) from error


def _form_of(facts: PackageFacts) -> Path:
    """The ONNX file that a plan was made of, verified."""
    name = INT8_FORM if facts.precision == "int8" else FP16_FORM
    return BuildFolder.open(facts.engine.path.parent).verified(name)


def _of_ir(path: Path) -> Tensors:
    from xml.etree import ElementTree

    layers = ElementTree.parse(path).getroot().find("layers")
    found = [] if layers is None else list(layers)
    return Tensors(
        inputs=tuple(_ir_tensors(found, "Parameter", "output")),
        outputs=tuple(_ir_tensors(found, "Result", "input")),
    )


def _ir_tensors(layers: list[Element], kind: str, side: str) -> Iterator[Tensor]:
    """Yields the tensors of an IR's layers of a kind.

    A Parameter names its tensor at its port, a Result itself; both may have several names, of
    which the first is taken.
    """
    for layer in layers:
        if layer.get("type") != kind:
            continue
        port = layer.find(f"{side}/port")
        if port is None:
            raise ValueError(f"{kind} {layer.get('name')!r} has no port")
        names = layer.get("output_names") or port.get("names") or layer.get("name") or ""
        yield Tensor(
            name=_COMMA.split(names)[0].replace("\\,", ","),
            dtype=_ir_type(port),
            shape=tuple(int(dim.text or "") for dim in port.findall("dim")),
        )


def _ir_type(port: Element) -> str:
    precision = port.get("precision", "")
    if precision not in _IR_TYPES:
        raise ValueError(f"there is no type {precision!r}")
    return _IR_TYPES[precision]


def _of_onnx(path: Path) -> Tensors:
    onnx = require("onnx", extra="quantize")
    graph = onnx.load(path, load_external_data=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    type_of = onnx.helper.tensor_dtype_to_np_dtype

    def tensor(value: Any) -> Tensor:
        kind = value.type.tensor_type
        dims = kind.shape.dim
        return Tensor(
            name=value.name,
            dtype=type_of(kind.elem_type).name,
            shape=tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims),
        )

    return Tensors(
        inputs=tuple(tensor(value) for value in graph.input if value.name not in stored),
        outputs=tuple(map(tensor, graph.output)),
    )
