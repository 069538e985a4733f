"""Networks of PyTorch, and what tests ask of their exports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

SHAPE_ARITHMETIC = {
    "Shape",
    "Slice",
    "Gather",
    "Expand",
    "Range",
    "ConstantOfShape",
    "Size",
    "NonZero",
}
GREY_SHAPE, TINY_SHAPE = (1, 1, 28, 28), (1, 3, 16, 16)


def estimated(model: nn.Module, shape: Sequence[int]) -> nn.Module:
    """With BatchNorm statistics of random images: on untouched ones activations die out or explode,
    and parity says little.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.randn(16, *shape[1:]))
    return model.eval()


def random_images(shape: Sequence[int], count: int = 8) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, *shape[1:])).astype(np.float32)


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def clone(model: ir.Model) -> ir.Model:
    return ir.serde.deserialize_model(ir.serde.serialize_model(model))


class NamedLikeTheGraph(nn.Module):
    """Modules called as the graph's own input and output; returns a list, as some do."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.bn, self.logits = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.bn(self.input(x))
        return [torch.softmax(self.logits(features.mean((2, 3))), 1)]


def damaged(model: ir.Model, name: str, change: Any) -> ir.Model:
    copy = clone(model)
    value = copy.graph.initializers[name]
    assert value.const_value is not None
    value.const_value = ir.tensor(change(value.const_value.numpy().copy()), name=name)
    return copy
