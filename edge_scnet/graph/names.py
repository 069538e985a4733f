"""Names nodes after the PyTorch modules they came from, and tells a module's block."""

from __future__ import annotations

import ast
import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

# Metadata of a node: the module it came from, and the leaf module whose output it gives.
MODULE_KEY = "edge_scnet.module"
SCOPE_KEY = "edge_scnet.scope"
_WEIGHTED = ("Conv", "Gemm", "ConvTranspose")
# What pairs of QuantizeLinear and DequantizeLinear are called behind the tensor that they are of.
_PAIR = re.compile(r"/D?Q(?:_\d+)?$")


def module_of(node: ir.Node) -> str:
    """Returns the PyTorch module of a node ("layer1.0.scconv.k2.1"), else the node's name."""
    return node.metadata_props.get(MODULE_KEY) or node.name or node.op_type


def block_of(name: str) -> str:
    """Returns the block of a node or module: "layer1.0" of "layer1.0.k2.1" and "layer1.0/Add".

    A path, as in files made by others, counts like dots: "features.3" of "/features/3/conv/Conv".
    """
    name = _PAIR.sub("", name)
    is_path = name.startswith("/") or name.count("/") > 1
    module = name.strip("/").replace("/", ".") if is_path else name.partition("/")[0]
    return ".".join(module.split(".")[:2])


def block_to_cut(name: str) -> str:
    """Returns the block that a node or module is cut out with: "layer1.0", "conv1".

    Unlike `block_of`, which sorts figures for a reader, it makes parts that are run on their own. A
    second part of the name counts only where it is a number ("classifier.fc" is cut out with the
    rest of "classifier"), and a path, as in files made by others, counts like dots: "features.3" of
    "/features/3/conv/Conv".
    """
    parts = name.strip("/").replace("/", ".").split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and parts[1].isdigit() else parts[0]


def parts_of(name: str) -> tuple[str, ...]:
    """Returns the modules around a node from the outside in: "layer1", "0", "k2" of "layer1.0.k2".

    The operator behind a module's name ("layer1.0/Add") and Q/DQ pairs do not count. Of a path, as
    in files made by others, a part may hold those in front of it once more: "layer1", "0", "conv1"
    of "/layer1/layer1.0/conv1/Conv".
    """
    plain = _PAIR.sub("", name)
    if not (plain.startswith("/") or plain.count("/") > 1):
        return tuple(part for part in plain.partition("/")[0].split(".") if part)
    steps = [step for step in plain.split("/") if step]
    around = steps[:-1] or steps
    outer = [
        step
        for step, inner in itertools.zip_longest(around, around[1:], fillvalue="")
        if inner != step and not inner.startswith(f"{step}.")
    ]
    return tuple(part for part in ".".join(outer).split(".") if part)


def name_nodes(model: ir.Model) -> None:
    """Names every node and its outputs after the node's module, in place.

    The exporter's metadata is dropped: its stack traces hold the paths of the machine.
    """
    graph = model.graph
    taken: set[str] = set()
    used: dict[str, int] = {}
    for node in graph:
        module, scope, base = _plain(_module_name(node)), _scope(node), _plain(_base_name(node))
        node.name = base
        while node.name in taken:
            used[base] = used.get(base, 1) + 1
            node.name = f"{base}#{used[base]}"
        taken.add(node.name)
        node.metadata_props.clear()
        node.doc_string = None
        if module:
            node.metadata_props[MODULE_KEY] = module
        if scope:
            # the leaf module whose output this is (a BatchNorm, where it was folded): parity
            # compares there
            node.metadata_props[SCOPE_KEY] = scope
    _name_outputs(graph)
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()
    model.metadata_props.clear()
    model.doc_string = None
    model.graph.doc_string = None
    model.producer_name, model.producer_version = "edge-scnet", None


def _plain(name: str) -> str:
    """A name without commas and control characters: runtimes give lists of names, one line each."""
    return "".join("_" if letter == "," or not letter.isprintable() else letter for letter in name)


def _base_name(node: ir.Node) -> str:
    """The name of a node before it is made unique: its module's, and for most the operator."""
    module = _module_name(node)
    if module:
        return module if node.op_type in _WEIGHTED else f"{module}/{node.op_type}"
    if node.name and not node.name.startswith("node_"):
        return node.name
    if node.op_type == "Conv" and node.inputs[1] is not None and node.inputs[1].name:
        return node.inputs[1].name  # folding a BatchNorm loses the convolution's name
    return f"graph/{node.op_type}"


def _name_outputs(graph: ir.Graph) -> None:
    """Names the tensors inside after their nodes: runtimes name their layers after tensors."""
    kept = {id(value) for value in graph.outputs}
    # a module called "input" or "logits" must not take the graph's name
    taken = {str(value.name) for value in [*graph.inputs, *graph.outputs]} | set(graph.initializers)
    taken |= _names_inside(graph)
    for node in graph:
        for index, value in enumerate(node.outputs):
            value.metadata_props.clear()
            # "" stands for an output that is left out
            if id(value) not in kept and value.name != "":
                plain = index == 0 and node.name not in taken
                name = str(node.name if plain else f"{node.name}:{index}")
                while name in taken:
                    name += "_"
                value.name = name
                taken.add(name)


def _names_inside(graph: ir.Graph) -> set[str]:
    """The names of tensors in the graphs inside nodes, which see those of the graph itself."""
    return {
        str(value.name)
        for node in graph
        for inner in _graphs_of(node)
        for value in (*inner.inputs, *inner.initializers.values(), *_results(inner))
    } | {name for node in graph for inner in _graphs_of(node) for name in _names_inside(inner)}


def _results(graph: ir.Graph) -> list[ir.Value]:
    return [value for node in graph for value in node.outputs]


def _graphs_of(node: ir.Node) -> list[ir.Graph]:
    """The graphs inside a node: branches and loops."""
    kinds = {"GRAPH": lambda item: [item.as_graph()], "GRAPHS": lambda item: list(item.as_graphs())}
    return [
        graph
        for item in node.attributes.values()
        if item.type.name in kinds
        for graph in kinds[item.type.name](item)
    ]


def _scope(node: ir.Node) -> str:
    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes", "")
    names = ast.literal_eval(scopes) if scopes else []
    return str(names[-2]) if len(names) >= 2 else ""


def _module_name(node: ir.Node) -> str:
    if node.op_type in _WEIGHTED and len(node.inputs) > 1:
        weight = node.inputs[1]
        # after folding, the scope names the BatchNorm; the weight still has the convolution's own
        # name
        if weight is not None and weight.name and weight.name.endswith(".weight"):
            return weight.name.removesuffix(".weight")
    return _scope(node)
