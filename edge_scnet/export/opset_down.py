"""Operators of newer opsets written as the opset before has them, with the same values.

A rule belongs to the opset that changed the operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_scnet.export.rewriting import Context, NotWritable, Rule, attributes, drop, made, put

# Reductions that give a tensor itself where they reduce no axis.
_NEUTRAL = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd")


def _needed(node: Any, index: int, what: str, context: Context) -> np.ndarray:
    """The constant that a node has as an input.

    Raises:
        NotWritable: it is computed.
    """
    value = context.constant(node.input[index])
    if value is None:
        raise NotWritable(f"its {what} are computed, and were constant before")
    return value


def _has(node: Any, index: int) -> bool:
    return len(node.input) > index and bool(node.input[index])


def _rank(node: Any, context: Context) -> int:
    shape = context.shapes.get(node.input[0])
    if shape is None:
        raise NotWritable("the number of its input's axes is not known")
    return len(shape)


def _reduce_17(node: Any, context: Context) -> None:
    keeps = attributes(node).get("noop_with_empty_axes", 0)
    axes = _needed(node, 1, "axes", context) if _has(node, 1) else np.zeros(0, np.int64)
    drop(node, "noop_with_empty_axes")
    del node.input[1:]
    if axes.size:
        put(node, axes=[int(axis) for axis in axes.ravel()])
    elif keeps:
        if node.op_type not in _NEUTRAL:
            raise NotWritable("it reduces no axis")
        del node.attribute[:]
        node.op_type = "Identity"


def _split_17(node: Any, context: Context) -> None:
    values = attributes(node)
    drop(node, "num_outputs")
    if _has(node, 1):
        return
    shape, count = context.shapes.get(node.input[0]), len(node.output)
    axis = values.get("axis", 0)
    size = shape[axis] if shape else None
    if size is None:
        raise NotWritable("the size that it splits is not known")
    part = -(-size // count)
    sizes = [max(0, min(part, size - part * index)) for index in range(count)]
    del node.input[1:]
    node.input.append(context.add(node, "split", np.array(sizes, np.int64)))


def _reshape_13(node: Any, context: Context) -> None:
    # allowzero only says what a 0 in the shape means
    if attributes(node).get("allowzero", 0):
        shape = context.constant(node.input[1])
        if shape is None or not shape.all():
            raise NotWritable("it has allowzero=1, and its shape may hold a 0")
    drop(node, "allowzero")


def _pad_17(node: Any, context: Context) -> None:
    if not _has(node, 3):
        del node.input[3:]
        return
    pads, axes = _needed(node, 1, "pads", context), _needed(node, 3, "axes", context)
    rank = _rank(node, context)
    whole = np.zeros((2, rank), np.int64)
    whole[:, axes.ravel() % rank] = pads.reshape(2, -1)
    del node.input[3:]
    node.input[1] = context.add(node, "pads", whole.ravel())
    if not node.input[-1]:
        del node.input[-1]


def _pad_18(node: Any, _context: Context) -> None:
    if attributes(node).get("mode") == "wrap":
        raise NotWritable("its mode is 'wrap'")


def _resize_17(node: Any, context: Context) -> None:
    values = attributes(node)
    policy = values.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch" and _has(node, 3):
        raise NotWritable(f"its keep_aspect_ratio_policy is {policy!r}")
    axes = values.get("axes")
    if axes:
        rank = _rank(node, context)
        for index, what in ((1, "roi"), (2, "scales"), (3, "sizes")):
            if _has(node, index):
                part = _needed(node, index, what, context)
                whole = _whole(node, index, part, [axis % rank for axis in axes], context)
                node.input[index] = context.add(node, what, whole)
    if values.get("antialias", 0) and values.get("mode", "nearest") != "nearest":
        _needs_no_antialiasing(node, context)
    drop(node, "axes", "antialias", "keep_aspect_ratio_policy")


def _whole(
    node: Any, index: int, part: np.ndarray, axes: Sequence[int], context: Context
) -> np.ndarray:
    """The roi, scales or sizes of all axes, where a Resize names those of some."""
    rank = _rank(node, context)
    if index == 1:
        roi = np.repeat(np.array([[0], [1]], part.dtype), rank, axis=1)
        roi[:, axes] = part.reshape(2, -1)
        return roi.ravel()
    if index == 2:
        whole = np.ones(rank, part.dtype)
    else:
        shape = context.shape(node.input[0])
        if shape is None:
            raise NotWritable("the sizes of its input are not known")
        whole = np.array(shape, part.dtype)
    whole[axes] = part
    return whole


def _needs_no_antialiasing(node: Any, context: Context) -> None:
    """Raises NotWritable where a size shrinks, or may."""
    shape = context.shape(node.input[0])
    if _has(node, 2):
        scales = context.constant(node.input[2])
        if scales is not None and (scales >= 1).all():
            return
    elif _has(node, 3) and shape is not None:
        sizes = context.constant(node.input[3])
        if sizes is not None and (sizes >= np.array(shape)).all():
            return
    raise NotWritable("it scales down with antialias=1")


def _resize_18(node: Any, context: Context) -> None:
    if attributes(node).get("coordinate_transformation_mode") != "half_pixel_symmetric":
        return
    shape = context.shape(node.input[0])
    scales = context.constant(node.input[2]) if _has(node, 2) else None
    # the two differ by what rounding cuts off: sizes of their own cut nothing off
    if _has(node, 3) and not _has(node, 2):
        exact = True
    else:
        sizes = None if shape is None or scales is None else np.array(shape) * scales
        exact = sizes is not None and bool((sizes == np.floor(sizes)).all())
    if not exact:
        raise NotWritable("its coordinates are half_pixel_symmetric, with sizes that are rounded")
    put(node, coordinate_transformation_mode="half_pixel")


def _scatter_17(node: Any, _context: Context) -> None:
    reduction = attributes(node).get("reduction", "none")
    if reduction in ("max", "min"):
        raise NotWritable(f"its reduction is {reduction!r}")


def _ones_only(name: str) -> Rule:
    """A rule for an attribute of factors that is new."""

    def rule(node: Any, _context: Context) -> None:
        value = attributes(node).get(name, [])
        if any(factor != 1 for factor in value):
            raise NotWritable(f"its {name} are {list(value)}")
        drop(node, name)

    return rule


def _lp_pool_17(node: Any, context: Context) -> None:
    if attributes(node).get("ceil_mode", 0):
        raise NotWritable("it has ceil_mode=1")
    drop(node, "ceil_mode")
    _ones_only("dilations")(node, context)


def _without(name: str) -> Rule:
    """A rule for an attribute that matters for 8-bit floats only, which no target has."""

    def rule(node: Any, _context: Context) -> None:
        drop(node, name)

    return rule


def _grid_sample_19(node: Any, context: Context) -> None:
    names = {"linear": "bilinear", "cubic": "bicubic"}
    mode = attributes(node).get("mode", "linear")
    if _rank(node, context) != 4:
        raise NotWritable("it samples volumes")
    put(node, mode=names.get(mode, mode))


def _dft_19(node: Any, context: Context) -> None:
    axis = _needed(node, 2, "axes", context) if _has(node, 2) else np.array(-2)
    put(node, axis=int(axis.ravel()[0]) % _rank(node, context))
    del node.input[2:]


def _roi_align_15(node: Any, _context: Context) -> None:
    mode = attributes(node).get("coordinate_transformation_mode", "half_pixel")
    if mode != "output_half_pixel":
        raise NotWritable(f"its coordinates are {mode!r}")
    drop(node, "coordinate_transformation_mode")


def _gelu_19(node: Any, context: Context) -> list[Any]:
    """x / 2 times 1 + erf(x / sqrt 2), or its approximation by tanh."""
    name, data = node.name or node.output[0], node.input[0]
    kind = context.dtype(data)

    def tensor(suffix: str) -> str:
        return context.fresh(f"{name}_{suffix}")

    def stored(suffix: str, value: float) -> str:
        return context.add(node, suffix, np.array(value, kind))

    def step(op: str, inputs: list[str], suffix: str, output: str | None = None) -> str:
        output = output or tensor(suffix)
        nodes.append(made(op, inputs, [output], name=context.fresh(f"{name}_{suffix}_node")))
        return output

    nodes: list[Any] = []
    one, half = stored("one", 1.0), stored("half", 0.5)
    if attributes(node).get("approximate", "none") == "tanh":
        square = step("Mul", [data, data], "square")
        cube = step("Mul", [square, data], "cube")
        small = step("Mul", [cube, stored("factor", 0.044715)], "small")
        total = step("Add", [data, small], "total")
        inner = step("Mul", [total, stored("root", float(np.sqrt(2 / np.pi)))], "inner")
        gate = step("Tanh", [inner], "gate")
    else:
        inner = step("Mul", [data, stored("root", float(np.sqrt(0.5)))], "inner")
        gate = step("Erf", [inner], "gate")
    gate = step("Add", [gate, one], "open")
    halved = step("Mul", [data, half], "halved")
    step("Mul", [halved, gate], "out", node.output[0])
    return nodes


def _swish_23(node: Any, context: Context) -> list[Any]:
    """x times the sigmoid of alpha times x."""
    data, alpha = node.input[0], attributes(node).get("alpha", 1.0)
    name, nodes, inner = node.name or node.output[0], [], data
    if alpha != 1:
        inner = context.fresh(f"{name}_inner")
        factor = context.add(node, "alpha", np.array(alpha, context.dtype(data)))
        nodes.append(made("Mul", [data, factor], [inner], name=f"{inner}_node"))
    gate = context.fresh(f"{name}_gate")
    nodes.append(made("Sigmoid", [inner], [gate], name=f"{gate}_node"))
    return [*nodes, made("Mul", [data, gate], [node.output[0]], name=node.name)]


_REDUCTIONS = (*_NEUTRAL, "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp")

# By operator and the opset that changed it.
DOWN: dict[tuple[str, int], Rule] = {
    ("AveragePool", 19): _ones_only("dilations"),
    ("Cast", 19): _without("saturate"),
    ("Cast", 24): _without("round_mode"),
    ("CastLike", 19): _without("saturate"),
    ("CastLike", 24): _without("round_mode"),
    ("DFT", 20): _dft_19,
    ("Gelu", 20): _gelu_19,
    ("GridSample", 20): _grid_sample_19,
    ("LpPool", 18): _lp_pool_17,
    ("Pad", 18): _pad_17,
    ("Pad", 19): _pad_18,
    **{(op, 18): _reduce_17 for op in (*_REDUCTIONS, "ReduceSumSquare")},
    ("Reshape", 14): _reshape_13,
    ("Resize", 18): _resize_17,
    ("Resize", 19): _resize_18,
    ("RoiAlign", 16): _roi_align_15,
    ("ScatterElements", 18): _scatter_17,
    ("ScatterND", 18): _scatter_17,
    ("Split", 18): _split_17,
    ("Swish", 24): _swish_23,
}
