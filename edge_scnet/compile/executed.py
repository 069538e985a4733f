"""Which of the layers that were to be INT8 execute in INT8, as far as the runtime tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_scnet.core.events import Events
from edge_scnet.core.facts import EngineFacts, QdqFacts
from edge_scnet.errors import ParityError
from edge_scnet.graph.pairs import QUANTIZE, is_constant
from edge_scnet.runtimes.base import UNKNOWN_PRECISION, ExecutedLayer, Runtime

if TYPE_CHECKING:
    import onnx_ir as ir

# Operators that runtimes compute in the kernel of the layer in front of them.
_FUSED = frozenset(
    [
        "Add",
        "BatchNormalization",
        "Clip",
        "Div",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Mish",
        "Mul",
        "PRelu",
        "QuantizeLinear",
        "Relu",
        "Sigmoid",
        "Softplus",
        "Sub",
        "Swish",
        "Tanh",
    ]
)
# What a layer is listed with that no executed layer names.
NOT_FOUND = "not found"
_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedLayers:
    """The layers of a Q/DQ graph that should execute in INT8, by their nodes' names."""

    convolutions: tuple[str, ...]
    # transposed convolutions and linear layers
    others: tuple[str, ...] = ()
    # other names of a node: those of its outputs
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # names of the nodes behind it that runtimes fuse with it, and of their outputs
    fused: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, convolutions first."""
        return (*self.convolutions, *self.others)


def wanted_layers(facts: QdqFacts, model: ir.Model | None = None) -> WantedLayers:
    """Returns what should execute in INT8 by a Q/DQ graph's facts.

    Args:
        model: the graph itself, where it is at hand: the names of tensors and of what is fused are
            then known as well.
    """
    convolutions = facts.int8_convolutions
    return WantedLayers(
        convolutions=convolutions,
        others=tuple(name for name in facts.int8_layers if name not in set(convolutions)),
        aliases={} if model is None else {str(n.name): _output_names(n) for n in model.graph},
        fused={} if model is None else {str(n.name): _fused_names(n) for n in model.graph},
    )


def _output_names(node: ir.Node) -> tuple[str, ...]:
    """Returns the names of the tensors that a node gives.

    OpenVINO's frontend names the node that gives an output of the graph after that output, and
    nodes without a name after their tensor.
    """
    return tuple(str(value.name) for value in node.outputs if value.name)


def _fused_names(node: ir.Node) -> tuple[str, ...]:
    """Returns the names of what runs in the kernel of a node, if anything does.

    A linear layer whose bias a runtime folds into a product behind it is listed under that
    product's name alone.
    """
    names: list[str] = []
    while len(uses := tuple(node.outputs[0].uses())) == 1:
        node = uses[0].node
        computed = [v for v in node.inputs if v is not None and not is_constant(v)]
        if node.op_type not in _FUSED or len(computed) != 1:
            break
        names += [str(node.name), *_output_names(node)]
        if node.op_type == QUANTIZE:
            break
    return tuple(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What became of the layers that were to be INT8."""

    # names of those that execute in INT8
    int8: tuple[str, ...]
    # of the others: the precision, or NOT_FOUND
    in_float: dict[str, str]

    def count(self, names: Sequence[str]) -> int:
        """Returns how many of some layers execute in INT8."""
        return len(set(names) & set(self.int8))


def executed_in_int8(
    runtime: Runtime, layers: Sequence[ExecutedLayer], wanted: WantedLayers
) -> Executed:
    """Finds the layers that were to be INT8 among those of an engine.

    A node's bias and activation may be layers of their own, which name it too: a layer of a kind
    that computes products decides, by the node's own names or by what is fused with it. Where no
    such kind names the node, as in fusions whose kind is not known here, any other layer does that
    changes more than types. A node that several of them name is in INT8 where all are.

    Args:
        layers: one whose precision is unknown proves nothing.
    """
    told = [layer for layer in layers if layer.precision != UNKNOWN_PRECISION and not layer.is_copy]
    products = runtime.convolutions | runtime.linear_layers
    by_kind: dict[bool, list[ExecutedLayer]] = {True: [], False: []}
    for layer in told:
        by_kind[layer.is_convolution or layer.kind in products].append(layer)
    computing, others = _Layers(by_kind[True]), _Layers(by_kind[False])
    int8, in_float = [], {}
    for name in wanted.names:
        names = (name, *wanted.aliases.get(name, ()))
        precisions = computing.precisions(names) or computing.precisions(wanted.fused.get(name, ()))
        is_int8 = bool(precisions) and precisions <= runtime.int8_precisions
        if not precisions:
            precisions = others.precisions(names)
            is_int8 = bool(precisions) and precisions <= runtime.int8_precisions
        if is_int8:
            int8.append(name)
        else:
            in_float[name] = min(precisions - runtime.int8_precisions, default=NOT_FOUND)
    return Executed(int8=tuple(int8), in_float=in_float)


class _Layers:
    """Executed layers by the names of their nodes."""

    def __init__(self, layers: Sequence[ExecutedLayer]) -> None:
        self._by_node: dict[str, set[str]] = {}
        for layer in layers:
            for node in layer.nodes:
                self._by_node.setdefault(node, set()).add(layer.precision)
        # OpenVINO lists nodes with commas between them: a name that holds one is several there
        self._listed = [(f",{','.join(layer.nodes)},", layer.precision) for layer in layers]

    def precisions(self, names: Sequence[str]) -> set[str]:
        """Returns those of the layers that list a node by any of its names."""
        found: set[str] = set()
        for name in names:
            found |= self._by_node.get(name, set())
            if "," in name:
                found |= {precision for listed, precision in self._listed if f",{name}," in listed}
        return found


def require_int8(
    executed: Executed, wanted: WantedLayers, *, file: str = "", rest: str = "float"
) -> None:
    """Refuses an engine of which a layer that was to be INT8 is known to be in float.

    One that no executed layer names may be in a fusion that does not tell its nodes: the engine is
    kept, and the verdict does not ship it.

    Args:
        file: the engine's name, where one of several is meant.
        rest: the precision of what is not quantized, for the hint.

    Raises:
        ParityError: all such layers are named.
    """
    in_float, _ = _by_knowledge(executed.in_float)
    if not in_float:
        return
    of_file = f" of {file}" if file else ""
    noun = "layers" if wanted.others else "convolutions"
    raise ParityError(
        f"{len(in_float)} of {len(wanted.names)} {noun}{of_file} that should execute in"
        f" INT8 do not: {listed(in_float)}",
        hint=(
            f"keep them in {rest} on purpose with quant.keep_float in the target (of a file given"
            " with --qdq: leave out their Q/DQ), or leave out require_int8 there"
        ),
    )


def warn_of_float(in_float: Mapping[str, str], events: Events, *, file: str = "") -> None:
    """Warns of the layers that should execute in INT8 and do not, or are not told of.

    Says nothing where all do.

    Args:
        in_float: those layers, with what they execute in.
        file: the engine's name, where one of several is meant.
    """
    of_file = f" of {file}" if file else ""
    known, unknown = _by_knowledge(in_float)
    if known:
        noun, verb = ("layer", "does") if len(known) == 1 else ("layers", "do")
        events.warn(
            f"{len(known)} {noun}{of_file} should execute in INT8 and {verb} not:"
            f" {listed(known)}; require_int8 = true in the target makes this an error"
        )
    if unknown:
        noun, they = ("layer", "it does") if len(unknown) == 1 else ("layers", "they do")
        events.warn(
            f"{len(unknown)} {noun}{of_file} should execute in INT8, and whether {they} is not"
            f" known: {listed(unknown)}; with require_int8 = true in the target that is not proven"
        )


def _by_knowledge(in_float: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Layers of which it is known that they are in float, and those that are not found."""
    known = {name: told for name, told in in_float.items() if told != NOT_FOUND}
    return known, {name: told for name, told in in_float.items() if told == NOT_FOUND}


def counts(executed: Executed, wanted: WantedLayers) -> dict[str, Any]:
    """Returns the fields of an engine's facts that tell what of it executes in INT8."""
    return {
        "int8_convolutions": executed.count(wanted.convolutions),
        "int8_others": executed.count(wanted.others) if wanted.others else None,
        "in_float": executed.in_float or None,
    }


def listed(in_float: Mapping[str, str]) -> str:
    """Returns layers with their precisions, in words."""
    shown = [f"{name} ({precision})" for name, precision in in_float.items()]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more


def summary(facts: EngineFacts, *, verb: str) -> str:
    """Returns what of an engine executes in INT8 by its facts, for the line of its stage.

    Args:
        verb: what its layers do in INT8: "execute in", "read".
    """
    others, in_float = facts.int8_others, facts.in_float or {}
    counted = f"{facts.int8_convolutions} convolutions"
    if others is not None:
        counted += f" and {others} linear or transposed layer{'' if others == 1 else 's'}"
    text = f"{counted} {verb} INT8"
    return f"{text}, not {listed(in_float)}" if in_float else text
