"""The attributes of a node, as PyTorch's functions take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor  # noqa: TID253

if TYPE_CHECKING:
    import onnx_ir as ir


class UnsupportedError(Exception):
    """A node that this package cannot compute, or computes otherwise than ONNX Runtime.

    It ends the recovery and not the build, so it is no `EdgeError`.
    """

    def __init__(self, node: str, operator: str, reason: str) -> None:
        super().__init__(f"{node} ({operator}): {reason}")


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """Returns the value of an attribute."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def axes_of(node: ir.Node, axes: Tensor | None) -> tuple[int, ...] | None:
    """Returns the axes of a node: an attribute in old opsets, an input in new ones."""
    values = attribute(node, "axes", None) if axes is None else axes.tolist()
    return None if values is None else tuple(int(axis) for axis in values)
