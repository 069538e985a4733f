"""Converts a user's ONNX file to the target's opset, exactly.

onnx's own converter changes values (bilinear Resize of opset 10 and Upsample come out up to a fifth
of the range off) and knows few ways down. Here the graph goes from opset to opset: what an opset
changed is rewritten by a rule of `opset_up` or `opset_down`, and what has no equivalent is refused.
What has no rule was changed by types or by options whose defaults keep the meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from edge_scnet.config.target import list_targets
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError
from edge_scnet.export.group_norm import group_norm
from edge_scnet.export.opset_down import DOWN
from edge_scnet.export.opset_up import UP
from edge_scnet.export.rewriting import (
    Context,
    NotWritable,
    attributes,
    context_of,
    drop,
    graphs_of,
    rewrite,
)
from edge_scnet.export.tidy import tidy
from edge_scnet.graph.model import opset_of

# ONNX Runtime, which the original is compared in, reads no older ones.
OLDEST_READ = 7
_DEFAULT_DOMAINS = ("", "ai.onnx")


def convert_opset(proto: Any, opset: int, path: Path) -> Any:
    """Returns a file's graph in another opset, with the same values; it may be changed in place.

    Inputs of Resize that are there to be empty are left out,
    and automatic padding is written in numbers.

    Args:
        path: the file, for messages.

    Raises:
        ArtifactError: an operator that the other opset has no equivalent for: it is named with the
            reason, and with the way out; or the file's opset is too old.
    """
    source = opset_of(proto)
    newest = require("onnx", extra="cpu").defs.onnx_opset_version()
    if not OLDEST_READ <= source <= newest or opset > newest:
        raise ArtifactError(
            f"{path} has opset {source}, the target wants {opset}; {OLDEST_READ} to {newest} are"
            " read",
            hint="export the model again: torch.onnx.export(..., opset_version=17)",
        )
    proto = _named_plainly(proto)
    conversion = _Conversion(path=path, source=source, target=opset)
    context = context_of(proto)
    conversion.apply(
        proto,
        lambda node: (
            group_norm(node, context, source) if node.op_type == "GroupNormalization" else None
        ),
    )
    if source < opset:
        for version in range(source + 1, opset + 1):
            conversion.step_up(proto, version, context)
    for version in range(source, opset, -1):
        proto = conversion.step_down(proto, version)
    _set_opset(proto, opset)
    context = context_of(proto)
    conversion.apply(proto, lambda node: tidy(node, context))
    conversion.check(proto)
    return proto


class _Conversion:
    """The steps from one opset to another, and their refusals."""

    def __init__(self, *, path: Path, source: int, target: int) -> None:
        self.path, self.source, self.target = path, source, target

    def apply(self, proto: Any, rule: Any) -> None:
        """Rewrites every node of the standard operators by a rule."""

        def guarded(node: Any) -> Any:
            if node.domain not in _DEFAULT_DOMAINS:
                return None
            try:
                made = rule(node)
            except NotWritable as reason:
                raise self.refusal(node, str(reason)) from None
            for new in made or ():
                if new is not node:
                    # the module that it belongs to
                    new.metadata_props.extend(node.metadata_props)
            return made

        rewrite(proto, guarded)

    def step_up(self, proto: Any, version: int, context: Context) -> None:
        """Writes a graph of the opset before as one of `version`."""

        def rule(node: Any) -> Any:
            if not _changed(node.op_type, version):
                return None
            known = UP.get((node.op_type, version))
            made = known(node, context) if known else None
            _check_form(node if made is None else made[-1], version)
            return made

        self.apply(proto, rule)

    def step_down(self, proto: Any, version: int) -> Any:
        """Returns a graph of `version` as one of the opset before."""
        nodes = [node for graph in graphs_of(proto.graph) for node in graph.node]
        changed = [n for n in nodes if n.domain == "" and _changed(n.op_type, version)]
        if not changed:
            return proto
        composed = [node for node in changed if _is_composed(node.op_type, version)]
        if composed:
            _set_opset(proto, version)
            proto = self._written_out(proto, composed)
        context = context_of(proto)

        def rule(node: Any) -> Any:
            if not _changed(node.op_type, version):
                return None
            known = DOWN.get((node.op_type, version))
            made = known(node, context) if known else None
            if made is None:
                _fit_older_form(node, version)
            return made

        self.apply(proto, rule)
        return proto

    def _written_out(self, proto: Any, composed: Sequence[Any]) -> Any:
        """The graph with operators replaced by those that ONNX says they are made of."""
        inliner = require("onnx.inliner", extra="cpu")
        operators = sorted({node.op_type for node in composed})
        try:
            return inliner.inline_selected_functions(
                _with_types(proto), [("", op) for op in operators], inline_schema_functions=True
            )
        except Exception as error:
            reason = "the operator is new, and onnx cannot write it out"
            raise self.refusal(composed[0], reason) from error

    def check(self, proto: Any) -> None:
        """Raises ArtifactError where a tensor has a type that the target's operator lacks."""
        context = context_of(proto)

        def rule(node: Any) -> None:
            schema = _schema(node.op_type, self.target)
            if schema is None or schema.deprecated:
                raise NotWritable("the operator is not in it")
            for name, allowed in zip(
                node.input, _input_types(schema, len(node.input)), strict=True
            ):
                kind = _type_name(context.types.get(name, 0))
                if name and kind is not None and kind not in allowed:
                    raise NotWritable(f"{name!r} is {kind}, which its form there does not take")

        self.apply(proto, rule)

    def refusal(self, node: Any, reason: str) -> ArtifactError:
        """Returns the error for a node that cannot be written in the target's opset."""
        name = node.name or (node.output[0] if node.output else "")
        message = (
            f"{self.path}: {node.op_type} {name!r} of opset {self.source} cannot be written in"
            f" opset {self.target}, which the target wants: {reason}"
        )
        wider = [spec.name for spec in list_targets() if self.target < spec.opset <= self.source]
        ways = [f"export the model in opset {self.target}: torch.onnx.export(...,"]
        ways = [f"{ways[0]} opset_version={self.target})"]
        if wider:
            ways.append(f"or build for a target of a newer opset: {', '.join(wider)}")
        if self.source < self.target:
            ways = [f"export the model again, in opset {self.target}"]
        return ArtifactError(message, hint=", ".join(ways))


def _named_plainly(proto: Any) -> Any:
    """The file with one name, "", for the domain of the standard operators."""
    for graph in graphs_of(proto.graph):
        for node in graph.node:
            if node.domain == "ai.onnx":
                node.domain = ""
    _set_opset(proto, opset_of(proto))
    return proto


def inlined(proto: Any) -> Any:
    """Returns a file with its own functions written out as nodes."""
    if not proto.functions:
        return proto
    return require("onnx.inliner", extra="cpu").inline_local_functions(proto)


def _with_types(proto: Any) -> Any:
    """The file with the type of every tensor in it, which composed operators depend on."""
    onnx = require("onnx", extra="cpu")
    typed = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    typed.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in typed.graph.initializer
    )
    return typed


def _set_opset(proto: Any, opset: int) -> None:
    kept = [(o.domain, o.version) for o in proto.opset_import if o.domain not in _DEFAULT_DOMAINS]
    del proto.opset_import[:]
    for domain, version in [("", opset), *kept]:
        proto.opset_import.add(domain=domain, version=version)


@cache
def _schema(op: str, opset: int) -> Any:
    """ONNX's definition of an operator in an opset; None where the opset lacks it."""
    defs = require("onnx", extra="cpu").defs
    try:
        return defs.get_schema(op, opset, "")
    except defs.SchemaError:
        return None


def _is_composed(op: str, version: int) -> bool:
    """Whether an operator is new, without a rule, and made of others."""
    schema = _schema(op, version)
    if schema is None or (op, version) in DOWN or _schema(op, version - 1) is not None:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _changed(op: str, version: int) -> bool:
    """Whether an opset added, changed or removed an operator."""
    schema = _schema(op, version)
    return schema is None or schema.since_version == version


def _check_form(node: Any, version: int) -> None:
    """Raises NotWritable where a node is none of an opset: a rule is missing."""
    schema = _schema(node.op_type, version)
    if schema is None or schema.deprecated:
        raise NotWritable(f"opset {version} took the operator back")
    unknown = [name for name in attributes(node) if name not in schema.attributes]
    if unknown or not schema.min_input <= len(node.input) <= schema.max_input:
        raise NotWritable(f"opset {version} changed the operator's meaning")


def _fit_older_form(node: Any, version: int) -> None:
    """Takes away the options of a newer opset that have no effect.

    Raises:
        NotWritable: one has an effect, or the operator is new.
    """
    schema, older = _schema(node.op_type, version), _schema(node.op_type, version - 1)
    if older is None:
        raise NotWritable(f"the operator is new in opset {version}")
    helper = require("onnx", extra="cpu").helper
    for name, value in attributes(node).items():
        if name in older.attributes or schema is None:
            continue
        default = schema.attributes[name].default_value
        neutral = helper.get_attribute_value(default) if default.name else None
        neutral = neutral.decode() if isinstance(neutral, bytes) else neutral
        if value != neutral:
            raise NotWritable(f"it has {name}={value}, which is new in opset {version}")
        drop(node, name)
    while len(node.input) > older.max_input:
        if node.input[-1]:
            raise NotWritable(f"it has an input more, which is new in opset {version}")
        del node.input[-1]


def _input_types(schema: Any, count: int) -> list[set[str]]:
    """The types that an operator takes, input by input; the last may stand for many."""
    declared = [set(item.types) for item in schema.inputs]
    return [declared[min(index, len(declared) - 1)] for index in range(count)]


def _type_name(kind: int) -> str | None:
    """The name of a tensor's type as ONNX's definitions have it; None: not known."""
    tensor = require("onnx", extra="cpu").TensorProto
    return f"tensor({tensor.DataType.Name(kind).lower()})" if kind else None
