"""The layers of a TensorRT plan, read from the build log's text or from the inspector's JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_scnet.core.json_records import convert, decode
from edge_scnet.runtimes.base import UNKNOWN_PRECISION, ExecutedLayer

# Kinds of a convolution's kernel: TensorRT 8 and 10 (Cask*), Myelin's own in 10, 11 and
# TensorRT-RTX.
CONVOLUTIONS = frozenset(
    {
        "CaskConvolution",
        "CaskJitConvolution",
        "CaskDeconvolution",
        "CaskGemmConvolution",
        "Convolution",
        "Deconvolution",
        "correlation",
        "conv",
        "deconv",
        # fused with a max pool, as a stem in INT8 is
        "CaskConvActPool",
        "ConvActPool",
        "conv_act_pool",
    }
)
# Kinds of a product of matrices, where it has a kernel of its own.
LINEAR_LAYERS = frozenset(
    {"CaskGemmMatrixMultiply", "FullyConnected", "MatrixMultiply", "gemm", "Gemm"}
)
# Kinds that order streams and do no work.
_ORDERING = frozenset({"signal", "wait", "Signal", "Wait"})
_COPIES = frozenset({"Reformat", "reformat", "NoOp", "ShapeHostToDevice", "copy"})
_FIELD = re.compile(r"Datatype: (\w+)")
_NODE = "[ONNX Layer: "
# TensorRT's words for types. In older versions they are the last word but one of "Thirty-two wide
# channel vectorized row major Int8 format".
_TYPES = {
    "Int8": "int8",
    "Half": "fp16",
    "FP16": "fp16",
    "Float": "fp32",
    "FP32": "fp32",
    "BFloat16": "bf16",
    "FP8": "fp8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLayer:
    """One layer of a plan."""

    name: str
    kind: str
    # Types of its inputs and outputs.
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    # The ONNX nodes that it came from.
    nodes: tuple[str, ...]

    @property
    def is_copy(self) -> bool:
        """Whether it changes type or layout and does nothing else."""
        return self.kind in _COPIES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inspected:
    """The inspector's JSON, by TensorRT's names."""

    Layers: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A layer in the inspector's JSON, by TensorRT's names."""

    Name: str = ""
    ParameterType: str | None = None
    LayerType: str = ""
    Inputs: tuple[dict[str, Any], ...] = ()
    Outputs: tuple[dict[str, Any], ...] = ()
    Metadata: str | None = None


def from_log(lines: Iterable[str]) -> tuple[PlanLayer, ...]:
    """Reads the layers that a builder with detailed verbosity lists in its log.

    A layer is a line "Name: ..., LayerType: ..., Inputs: [...], Outputs: [...], Metadata: ...".
    """
    layers = []
    for line in lines:
        for row in line.splitlines():
            if not row.startswith("Name: ") or ", LayerType: " not in row:
                continue
            name, _, rest = row.removeprefix("Name: ").partition(", LayerType: ")
            kind = rest.partition(",")[0]
            inputs = (
                rest.partition("Inputs: [")[2]
                .partition("], Constants:")[0]
                .partition("], Outputs:")[0]
            )
            outputs = rest.partition("Outputs: [")[2].partition("], TacticName")[0]
            layers.append(
                PlanLayer(
                    name=name,
                    kind=kind,
                    reads=_types(_FIELD.findall(inputs)),
                    writes=_types(_FIELD.findall(outputs)),
                    nodes=_nodes(rest.partition("Metadata:")[2]),
                )
            )
    return tuple(layer for layer in layers if layer.kind not in _ORDERING)


def from_inspector(text: str) -> tuple[PlanLayer, ...]:
    """Reads the layers of the engine inspector's JSON, or of trtexec's --exportLayerInfo.

    TensorRT 8.4 to 11 write the same fields, but not all of them: what is missing is left empty.

    Raises:
        ValueError: it is no such JSON, or it lists names only (a plan built without detailed
            verbosity).
    """
    try:
        told = decode(_Inspected, text)
        if told.Layers and isinstance(told.Layers[0], str):
            raise ValueError(
                "it lists the layers' names only: build with --profilingVerbosity=detailed"
            )
        rows = convert(tuple[_Layer, ...], told.Layers, path="Layers")
    except ValueError as error:
        raise ValueError(f"no layer information: {error}") from error
    layers = [
        PlanLayer(
            name=row.Name,
            kind=row.ParameterType or row.LayerType,
            reads=_types(map(_type_of, row.Inputs)),
            writes=_types(map(_type_of, row.Outputs)),
            nodes=_nodes(row.Metadata or ""),
        )
        for row in rows
    ]
    return tuple(layer for layer in layers if layer.kind not in _ORDERING)


def _nodes(metadata: str) -> tuple[str, ...]:
    """The ONNX nodes that a layer's metadata name; a name may hold brackets itself."""
    parts = metadata.split(_NODE)[1:]
    return tuple(name for name, end, _ in (part.rpartition("]") for part in parts) if end)


def _type_of(tensor: dict[str, Any]) -> str:
    """The type of an input or output in the inspector's JSON, in TensorRT's words."""
    if "Datatype" in tensor:
        return str(tensor["Datatype"])
    words = str(tensor.get("Format/Datatype", "")).split()
    return next((word for word in words if word in _TYPES), UNKNOWN_PRECISION)


def _types(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(_TYPES.get(name, name.lower()) for name in names)


def executed(layers: Iterable[PlanLayer]) -> tuple[ExecutedLayer, ...]:
    """Returns the layers as other runtimes tell theirs, with their first input's precision."""
    return tuple(
        ExecutedLayer(
            kind=layer.kind,
            precision=layer.reads[0] if layer.reads else UNKNOWN_PRECISION,
            nodes=layer.nodes,
            name=layer.name,
            is_copy=layer.is_copy,
        )
        for layer in layers
    )
