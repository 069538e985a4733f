"""Nodes named after modules; a module's block."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

MODULE_KEY = "edge_scnet.module"

SCOPE_KEY = "edge_scnet.scope"  # the leaf module whose output a node gives


def module_of(node: ir.Node) -> str:
    """The PyTorch module a node came from ("layer1.0.scconv.k2.1"), else the node's name."""
    return node.metadata_props.get(MODULE_KEY) or node.name or node.op_type


def block_of(name: str) -> str:
    """Returns the block of a node or module: "layer1.0" of "layer1.0.k2.1" and "layer1.0/Add"."""
    return ".".join(name.partition("/")[0].split(".")[:2])


def block_to_cut(name: str) -> str:
    """Returns the block of a module where the graph is cut into blocks: "layer1.0", "conv1".

    It differs from `block_of` in two ways. A second part of the name counts only where it is a
    number: "classifier.fc" and "classifier.drop" are one cut, for the fewer tensors lie on its
    edge, the more of a fused pattern is inside. And a path, as files made by others have it,
    counts like dots: "features.3" of "/features/3/conv/Conv".
    """
    parts = name.strip("/").replace("/", ".").split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and parts[1].isdigit() else parts[0]


def name_nodes(model: ir.Model) -> None:
    """Names every node after its module, and drops the exporter's metadata (stack traces hold the
    machine's paths).
    """
    graph = model.graph
    kept = {id(value) for value in graph.outputs}
    taken = {str(value.name) for value in [*graph.inputs, *graph.outputs]} | set(graph.initializers)
    used: dict[str, int] = {}
    for node in graph:
        module = _module_name(node)
        base = (
            module
            if node.op_type in ("Conv", "Gemm", "ConvTranspose") and module
            else f"{module or 'graph'}/{node.op_type}"
        )
        if not module and node.name and not node.name.startswith("node_"):
            base = node.name
        elif (
            not module
            and node.op_type == "Conv"
            and node.inputs[1] is not None
            and node.inputs[1].name
        ):
            base = node.inputs[1].name  # folding a BatchNorm loses the convolution's name
        used[base] = used.get(base, 0) + 1
        node.name = base if used[base] == 1 else f"{base}#{used[base]}"
        scope = _scope(node)
        node.metadata_props.clear()
        node.doc_string = None
        if module:
            node.metadata_props[MODULE_KEY] = module
        if scope:
            # the leaf module whose output this is (a BatchNorm, where it was folded): parity
            # compares there
            node.metadata_props[SCOPE_KEY] = scope
    for node in graph:
        for index, value in enumerate(node.outputs):
            value.metadata_props.clear()
            if id(value) not in kept:
                # runtimes name their layers after tensors: so these, too, carry the module's name;
                # a module called "input" or "logits" must not take the graph's
                plain = index == 0 and node.name not in taken
                value.name = node.name if plain else f"{node.name}:{index}"
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()
    model.metadata_props.clear()
    model.doc_string = None
    model.graph.doc_string = None
    model.producer_name, model.producer_version = "edge-scnet", None


def _scope(node: ir.Node) -> str:
    import ast

    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes", "")
    names = ast.literal_eval(scopes) if scopes else []
    return str(names[-2]) if len(names) >= 2 else ""


def _module_name(node: ir.Node) -> str:
    if node.op_type in ("Conv", "Gemm", "ConvTranspose") and len(node.inputs) > 1:
        weight = node.inputs[1]
        # after folding, the scope names the BatchNorm; the weight still has the convolution's own
        # name
        if weight is not None and weight.name and weight.name.endswith(".weight"):
            return weight.name.removesuffix(".weight")
    return _scope(node)
