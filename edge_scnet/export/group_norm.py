"""GroupNormalization written with InstanceNormalization, which every opset has."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_scnet.export.rewriting import Context, NotWritable, attributes, made

# From here on it has a scale and a bias for each channel, before for each group. ONNX took that
# one back: files of opsets 18 to 20 are not valid with it.
_BY_CHANNEL = 21


def group_norm(node: Any, context: Context, opset: int) -> list[Any]:
    """Returns what a GroupNormalization of an opset becomes.

    Raises:
        NotWritable: the sizes of its input are not known.
    """
    data, scale, bias = node.input
    values = attributes(node)
    groups, name = values["num_groups"], node.name or node.output[0]
    shape = context.shape(data)
    if shape is None:
        raise NotWritable("the sizes of its input are not known")
    kind = context.dtype(data)

    def stored(suffix: str, array: Any, dtype: Any = np.int64) -> str:
        return context.add(node, suffix, np.array(array, dtype))

    def step(op: str, inputs: list[str], suffix: str, **options: Any) -> str:
        output = context.fresh(f"{name}_{suffix}")
        nodes.append(made(op, inputs, [output], name=f"{output}_node", **options))
        return output

    nodes: list[Any] = []
    ones, zeros = stored("ones", np.ones(groups), kind), stored("zeros", np.zeros(groups), kind)
    epsilon = values.get("epsilon", 1e-5)
    whole = stored("sizes", shape)
    behind = (1,) * (len(shape) - 2)
    if opset < _BY_CHANNEL:
        # groups are the channels of what is normalised: their scales fit there
        rows = step("Reshape", [data, stored("groups", [shape[0], groups, -1])], "grouped")
        last = step("InstanceNormalization", [rows, scale, bias], "normal", epsilon=epsilon)
        nodes.append(made("Reshape", [last, whole], [node.output[0]], name=node.name))
        return nodes
    rows = step("Reshape", [data, stored("groups", [shape[0], groups, -1])], "grouped")
    normal = step("InstanceNormalization", [rows, ones, zeros], "normal", epsilon=epsilon)
    back = step("Reshape", [normal, whole], "back")
    each = stored("channels", [shape[1], *behind])
    scaled = step("Mul", [back, step("Reshape", [scale, each], "scale")], "scaled")
    shift = step("Reshape", [bias, each], "bias")
    nodes.append(made("Add", [scaled, shift], [node.output[0]], name=node.name))
    return nodes
