"""Where ONNX's operators take and give FP16, by their schemas."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_scnet.core.optional import require

if TYPE_CHECKING:
    import onnx_ir as ir

_HALF, _FLOAT = "tensor(float16)", "tensor(float)"
# Attributes that name the type of an output, which no input decides.
_TYPE_ATTRIBUTES = ("to", "dtype")
_ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schema:
    """The types of an operator: names of constraints by place, and which of them may be FP16."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    # those beyond the last are like it
    variadic: bool
    half: frozenset[str]
    # the last output repeats as well
    variadic_outputs: bool

    def input(self, index: int) -> str:
        """The constraint of an input; "" beyond the last."""
        return _at(self.inputs, index, self.variadic)

    def output(self, index: int) -> str:
        """The constraint of an output; "" beyond the last."""
        return _at(self.outputs, index, self.variadic_outputs)


def _at(names: Sequence[str], index: int, variadic: bool) -> str:
    if index < len(names):
        return names[index]
    return names[-1] if variadic and names else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfPlaces:
    """Which inputs and outputs of a node can be FP16, where they are real numbers."""

    inputs: tuple[bool, ...]
    # FP16 where the inputs are
    outputs: tuple[bool, ...]
    # an attribute of the node says its output's type: FLOAT, which can be FLOAT16
    attribute: str | None = None


def half_places(node: ir.Node, opset: int, is_float: Sequence[bool]) -> HalfPlaces:
    """Returns where a node can be FP16.

    An operator of another domain, or one that holds graphs of its own, stays in FP32.

    Args:
        opset: the graph's.
        is_float: of each input, whether it is FP32 in the graph.
    """
    ins, outs = len(node.inputs), len(node.outputs)
    schema = None
    if node.domain in _ONNX_DOMAINS and not _holds_graphs(node):
        schema = _schema(node.op_type, opset)
    if schema is None:
        return HalfPlaces(inputs=(False,) * ins, outputs=(False,) * outs)
    inputs = tuple(is_float[i] and schema.input(i) in schema.half for i in range(ins))
    following = {schema.input(i) for i in range(ins) if inputs[i]}
    outputs = tuple(schema.output(i) in following for i in range(outs))
    attribute = next((name for name in _TYPE_ATTRIBUTES if _is_float(node, name)), None)
    if attribute is None and _takes_type_of_input(node.op_type) and any(inputs):
        # as EyeLike and RandomNormalLike without an attribute
        outputs = (True,) * outs
    if attribute is not None and schema.output(0) not in schema.half:
        attribute = None
    return HalfPlaces(inputs=inputs, outputs=outputs, attribute=attribute)


def _is_float(node: ir.Node, name: str) -> bool:
    attribute = node.attributes.get(name)
    if attribute is None:
        return False
    return attribute.type.name == "INT" and attribute.as_int() == 1  # TensorProto.FLOAT


def _takes_type_of_input(op_type: str) -> bool:
    return op_type in ("EyeLike", "RandomNormalLike", "RandomUniformLike", "Bernoulli")


def _holds_graphs(node: ir.Node) -> bool:
    return any(attribute.type.name in ("GRAPH", "GRAPHS") for attribute in node.attributes.values())


@functools.cache
def _schema(op_type: str, opset: int) -> _Schema | None:
    defs = require("onnx.defs", extra="quantize")
    try:
        schema: Any = defs.get_schema(op_type, opset, "")
    except defs.SchemaError:
        return None
    half = {
        constraint.type_param_str
        for constraint in schema.type_constraints
        if {_HALF, _FLOAT} <= set(constraint.allowed_type_strs)
    }
    variadic = defs.OpSchema.FormalParameterOption.Variadic
    return _Schema(
        inputs=tuple(str(formal.type_str) for formal in schema.inputs),
        outputs=tuple(str(formal.type_str) for formal in schema.outputs),
        variadic=bool(schema.inputs) and schema.inputs[-1].option == variadic,
        variadic_outputs=bool(schema.outputs) and schema.outputs[-1].option == variadic,
        half=frozenset(half),
    )
