"""ONNX operators as differentiable functions of PyTorch, and the table that finds them.

A function takes the node, for its attributes, and the node's inputs as tensors, None where one is
left out. The converter that exists (onnx2torch, whose last version, 1.5.15, is of July 2024) needs
torchvision, has no QuantizeLinear, and makes modules of a graph, which hide its tensors; what
distillation needs is each tensor by its name, so that a QuantizeLinear can be learned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253  all of this package is torch; the stage that needs it imports it late
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.recovery import shapes, windows
from edge_scnet.recovery.attributes import attribute, axes_of

if TYPE_CHECKING:
    import onnx_ir as ir

Operator = Callable[..., Any]


def _gemm(node: ir.Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if attribute(node, "transA", 0) else a
    b = b.t() if attribute(node, "transB", 0) else b
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    product = a @ b if alpha == 1.0 else alpha * (a @ b)
    return product if c is None else product + (c if beta == 1.0 else beta * c)


def _clip(
    _node: ir.Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None
) -> Tensor:
    return torch.clamp(x, *(None if end is None else float(end) for end in (low, high)))


def _prelu(_node: ir.Node, x: Tensor, slope: Tensor) -> Tensor:
    per_channel = slope.dim() >= x.dim() - 1 and slope.numel() == x.shape[1]
    if slope.numel() == 1 or (per_channel and x.dim() > 1 and slope.shape[-x.dim() + 1] != 1):
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x >= 0, x, x * slope)


def _batch_norm(
    node: ir.Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    epsilon = attribute(node, "epsilon", 1e-5)
    return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)


def _instance_norm(node: ir.Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=attribute(node, "epsilon", 1e-5))


def _layer_norm(node: ir.Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = attribute(node, "axis", -1) % x.dim()
    normal = F.layer_norm(x, x.shape[axis:], eps=attribute(node, "epsilon", 1e-5))
    return normal * scale if bias is None else normal * scale + bias


def _reduction(function: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Operator:
    def reduce(node: ir.Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        wanted = axes_of(node, axes)
        if wanted is None and attribute(node, "noop_with_empty_axes", 0):
            return x
        everything = tuple(range(x.dim()))
        return function(x, wanted or everything, bool(attribute(node, "keepdims", 1)))

    return reduce


def _l2(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=axes, keepdim=keep)
    return norm


def _of_one(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda _node, x: function(x)


def _of_two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda _node, a, b: function(a, b)


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Of any number of tensors: Max, Min, Sum."""

    def fold(_node: ir.Node, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return fold


def _mean_of_map(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def _gelu(node: ir.Node, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=attribute(node, "approximate", "none"))


def _softmax(function: Callable[[Tensor, int], Tensor]) -> Operator:
    # since opset 13; the graphs that are quantized here are lifted to that or more
    return lambda node, x: function(x, attribute(node, "axis", -1))


_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "GlobalAveragePool": _mean_of_map,
    "GlobalMaxPool": lambda x: x.amax(tuple(range(2, x.dim())), keepdim=True),
    "HardSwish": F.hardswish,
    "Identity": lambda x: x,
    "Log": torch.log,
    "Mish": F.mish,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
}
_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Div": torch.div,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "MatMul": torch.matmul,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Pow": torch.pow,
    "Sub": torch.sub,
}
OPERATORS: dict[str, Operator] = {
    **{name: _of_one(function) for name, function in _ONE.items()},
    **{name: _of_two(function) for name, function in _TWO.items()},
    "AveragePool": windows.average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": shapes.cast,
    "Clip": _clip,
    "Concat": lambda node, *tensors: torch.cat(tensors, attribute(node, "axis", None)),
    "ConstantOfShape": shapes.constant_of_shape,
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "DepthToSpace": shapes.depth_to_space,
    "Elu": lambda node, x: F.elu(x, attribute(node, "alpha", 1.0)),
    "Expand": shapes.expand,
    "Flatten": shapes.flatten,
    "Gather": shapes.gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "HardSigmoid": lambda node, x: torch.clamp(
        attribute(node, "alpha", 0.2) * x + attribute(node, "beta", 0.5), 0.0, 1.0
    ),
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda node, x: F.leaky_relu(x, attribute(node, "alpha", 0.01)),
    "LogSoftmax": _softmax(torch.log_softmax),
    "Max": _folded(torch.maximum),
    "MaxPool": windows.max_pool,
    "Min": _folded(torch.minimum),
    "PRelu": _prelu,
    "Pad": shapes.pad,
    "ReduceL2": _reduction(_l2),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceMin": _reduction(torch.amin),
    "ReduceSum": _reduction(torch.sum),
    "Reshape": shapes.reshape,
    "Resize": windows.resize,
    "Shape": lambda node, x: torch.tensor(
        x.shape[attribute(node, "start", 0) : attribute(node, "end", None)]
    ),
    "Slice": shapes.slice_,
    "Softmax": _softmax(torch.softmax),
    "SpaceToDepth": shapes.space_to_depth,
    "Split": shapes.split,
    "Squeeze": shapes.squeeze,
    "Sum": _folded(torch.add),
    "Tile": lambda _node, x, repeats: x.repeat(*repeats.tolist()),
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
    "Where": lambda _node, condition, a, b: torch.where(condition, a, b),
}
