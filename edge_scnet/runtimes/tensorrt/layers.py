"""The layers of a TensorRT plan, read from the build log's text or from the inspector's JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_scnet.core.json_records import convert, decode
from edge_scnet.runtimes.base import UNKNOWN_PRECISION, ExecutedLayer

# Kinds of a convolution's kernel: TensorRT 8 and 10 (Cask*), Myelin's own in 10, 11 and
# TensorRT-RTX. New versions bring others, which `PlanLayer.is_convolution` tells.
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
# "convert" changes a type.
_CONVOLUTION = re.compile(r"conv(?!ert)|correlation", re.IGNORECASE)
# Kinds that order streams and do no work.
_ORDERING = frozenset({"signal", "wait", "Signal", "Wait"})
# Kinds that take no time: a concatenation in place, a reshape.
_IDLE = frozenset({"NoOp", "ShapeHostToDevice"})
_COPIES = frozenset({"Reformat", "reformat", "copy"})
# The origin of a reformatting layer that is a QuantizeLinear or DequantizeLinear of the graph.
_QUANTIZES = "QDQ"
_FIELD = re.compile(r"Datatype: ([^,}\]]*)")
_PARAMETER_TYPE = re.compile(r", ParameterType: (\w+)")
_ORIGIN = re.compile(r", Origin: (\w+)")
_WEIGHTS = re.compile(r", (?:Conv)?Weights: \{")
_NODE = "[ONNX Layer: "
_COPY_NODE = "Reformatting CopyNode"
# Parts of a layer's name that are no nodes.
_TENSOR = re.compile(r"(?:^|[./])(?:weight|bias)$|_quantize_scale_node$|^onnx::|^\(Unnamed Layer")
_POINTWISE = re.compile(r"^(?:PWN\()+")
_QUANTIZER = re.compile(r"(?:^|/)(?:(?:Q|DQ)(?:_clone_\d+)?|(?:Quantize|Dequantize)Linear\w*)$")
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
    "Int32": "int32",
    "Int64": "int64",
    "Bool": "bool",
    "UInt8": "uint8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLayer:
    """One layer of a plan."""

    name: str
    kind: str
    # Types of its inputs and outputs.
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    # The ONNX nodes that it came from, those that quantize last; of a copy those that it is for.
    nodes: tuple[str, ...]
    # What a reformatting layer was made of: "QDQ", "REFORMAT".
    origin: str = ""
    has_weights: bool = False

    @property
    def is_copy(self) -> bool:
        """Whether it changes type or layout and does nothing else.

        A stand-alone Q or DQ of the graph is no copy: it was asked for.
        """
        return self.kind in _COPIES and self.origin != _QUANTIZES

    @property
    def is_idle(self) -> bool:
        """Whether it stands for no work."""
        return self.kind in _IDLE

    @property
    def is_convolution(self) -> bool:
        """Whether it computes a convolution, also where its kind is none that is listed here."""
        if self.kind in LINEAR_LAYERS or self.kind in _COPIES or self.kind in _IDLE:
            return False
        return self.has_weights or _CONVOLUTION.search(self.kind) is not None


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
    Origin: Any = None
    Weights: Any = None
    ConvWeights: Any = None


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
            inputs = (
                rest.partition("Inputs: [")[2]
                .partition("], Constants:")[0]
                .partition("], Outputs:")[0]
            )
            behind = rest.partition("Outputs: [")[2]
            outputs = behind.partition("], ParameterType")[0].partition("], TacticName")[0]
            parameter_type, origin = _PARAMETER_TYPE.search(behind), _ORIGIN.search(behind)
            layers.append(
                PlanLayer(
                    name=name,
                    kind=parameter_type[1] if parameter_type else rest.partition(",")[0],
                    reads=_types(map(_type_in, _FIELD.findall(inputs))),
                    writes=_types(map(_type_in, _FIELD.findall(outputs))),
                    nodes=_nodes(rest.partition("Metadata:")[2]),
                    origin=origin[1] if origin else "",
                    has_weights=_WEIGHTS.search(behind) is not None,
                )
            )
    return tuple(layer for layer in layers if layer.kind not in _ORDERING)


def from_inspector(text: str) -> tuple[PlanLayer, ...]:
    """Reads the layers of the engine inspector's JSON, or of trtexec's --exportLayerInfo.

    TensorRT 8.4 to 11 write the same fields, but not all of them: what is missing is left empty.
    8.5 and older write no metadata: the nodes are then taken from the layers' names.

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
    has_metadata = any(row.Metadata for row in rows)
    layers = [
        PlanLayer(
            name=row.Name,
            kind=row.ParameterType or row.LayerType,
            reads=_types(map(_type_of, row.Inputs)),
            writes=_types(map(_type_of, row.Outputs)),
            nodes=_nodes(row.Metadata or "")
            if has_metadata and not row.Name.startswith(_COPY_NODE)
            else _nodes_in_name(row.Name),
            origin=row.Origin if isinstance(row.Origin, str) else "",
            has_weights=bool(row.Weights or row.ConvWeights),
        )
        for row in rows
    ]
    return tuple(layer for layer in layers if layer.kind not in _ORDERING)


def _nodes(metadata: str) -> tuple[str, ...]:
    """The ONNX nodes that a layer's metadata name; a name may hold brackets itself."""
    parts = metadata.split(_NODE)[1:]
    return _computing_first(
        name for name, end, _ in (part.rpartition("]") for part in parts) if end
    )


def _nodes_in_name(name: str) -> tuple[str, ...]:
    """The ONNX nodes in a layer's name, which lists them beside tensors.

    "conv1.weight + QuantizeLinear_7_quantize_scale_node + Conv_9 + PWN(Relu_10)", "Conv_1 ||
    Conv_2", "Reformatting CopyNode for Input Tensor 0 to Conv_9", "{ForeignNode[Add_1...Mul_9]}".
    """
    if name.startswith(_COPY_NODE):
        name = name.rpartition(" to ")[2]
    name = name.removeprefix("{ForeignNode[").removesuffix("]}").replace("...", " + ")
    parts = [
        inner
        for part in re.split(r" \+ | \|\| ", name)
        for inner in (part.split(", ") if "PWN(" in part else [part])
    ]
    return _computing_first(
        part for part in map(_without_brackets, parts) if part and not _TENSOR.search(part)
    )


def _without_brackets(part: str) -> str:
    """A part of a name without what "PWN(...)", a fusion of pointwise nodes, adds."""
    part = _POINTWISE.sub("", part)
    too_many = max(0, part.count(")") - part.count("("))
    closing = len(part) - len(part.rstrip(")"))
    return part[: len(part) - min(too_many, closing)]


def _computing_first(nodes: Iterable[str]) -> tuple[str, ...]:
    """Nodes in their order, those that quantize behind the others: the first names a layer."""
    return tuple(sorted(nodes, key=lambda node: _QUANTIZER.search(node) is not None))


def _type_of(tensor: dict[str, Any]) -> str:
    """The type of an input or output in the inspector's JSON, in TensorRT's words."""
    return _type_in(str(tensor.get("Datatype") or tensor.get("Format/Datatype") or ""))


def _type_in(text: str) -> str:
    """The type in the words for it and the layout; a single word is the type."""
    words = text.rstrip(" .").split()
    known = next((word for word in words if word in _TYPES), UNKNOWN_PRECISION)
    return words[0] if len(words) == 1 else known


def _types(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(_TYPES.get(name, name.lower()) for name in names)


def executed(layers: Iterable[PlanLayer]) -> tuple[ExecutedLayer, ...]:
    """Returns the layers as other runtimes tell theirs, with their first input's precision.

    A layer that stands for no work has none: it proves nothing, and is not counted.
    """
    return tuple(
        ExecutedLayer(
            kind=layer.kind,
            precision=layer.reads[0] if layer.reads and not layer.is_idle else UNKNOWN_PRECISION,
            nodes=layer.nodes,
            name=layer.name,
            is_copy=layer.is_copy,
            is_convolution=layer.is_convolution,
            writes=layer.writes[0] if layer.writes else UNKNOWN_PRECISION,
        )
        for layer in layers
    )
