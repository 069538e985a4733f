"""Runs an ONNX graph in PyTorch, node by node, with every tensor under its own name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.graph.pairs import label
from edge_scnet.recovery.attributes import UnsupportedError, attribute
from edge_scnet.recovery.operators import OPERATORS

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node, with the function that computes it."""

    node: ir.Node
    # None: an input that is left out
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    # takes the tensors of `inputs`; gives the first output, or a tuple of them all
    compute: Callable[..., Any]

    def run(self, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Computes the node.

        Raises:
            UnsupportedError: PyTorch refuses it; names the node.
        """
        taken = [None if name is None else values[name] for name in self.inputs]
        try:
            result = self.compute(*taken)
        except (RuntimeError, NotImplementedError, ValueError, TypeError, LookupError) as error:
            raise unsupported(self.node, f"{type(error).__name__}: {error}") from error
        return result if isinstance(result, tuple) else (result,)


class TorchGraph:
    """A graph as steps; constants are tensors that each run may replace."""

    def __init__(self, model: ir.Model) -> None:
        """Looks up every node's function.

        Raises:
            UnsupportedError: the first node that has none.
        """
        graph = model.graph
        self.inputs = [str(value.name) for value in graph.inputs if not value.is_initializer()]
        self.outputs = [str(value.name) for value in graph.outputs]
        self.constants: dict[str, Tensor] = {}
        for name, value in graph.initializers.items():
            assert value.const_value is not None
            self.constants[name] = torch.from_numpy(np.array(value.const_value.numpy()))
        self.steps = [self._step(node) for node in graph if not self._is_constant(node)]
        # a tensor is let go of behind the step that reads it last
        self._last_reader = {
            name: i for i, step in enumerate(self.steps) for name in step.inputs if name
        }

    def _is_constant(self, node: ir.Node) -> bool:
        if node.op_type != "Constant":
            return False
        value = attribute(node, "value", None)
        if value is None:
            raise unsupported(node, "a constant that is no tensor")
        self.constants[str(node.outputs[0].name)] = torch.from_numpy(np.array(value.numpy()))
        return True

    def _step(self, node: ir.Node) -> Step:
        return Step(
            node=node,
            inputs=tuple(None if v is None or not v.name else v.name for v in node.inputs),
            outputs=tuple(str(value.name) for value in node.outputs),
            compute=self.function_of(node),
        )

    def function_of(self, node: ir.Node) -> Callable[..., Any]:
        """Returns what computes a node.

        Raises:
            UnsupportedError: nothing does.
        """
        function = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if function is None:
            raise unsupported(node, "the operator is not known here")
        return lambda *tensors: function(node, *tensors)

    @property
    def tensors(self) -> frozenset[str]:
        """The names of all tensors that are computed."""
        return frozenset(name for step in self.steps for name in step.outputs)

    def run(
        self,
        feeds: Mapping[str, Tensor],
        *,
        wanted: Sequence[str] = (),
        constants: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Computes the graph.

        Args:
            feeds: its inputs.
            wanted: tensors to give besides the outputs.
            constants: in place of the graph's own, by name.

        Raises:
            UnsupportedError: PyTorch refuses a node; names it.
        """
        kept = {*self.outputs, *wanted}
        values: dict[str, Tensor] = {**self.constants, **(constants or {}), **feeds}
        for i, step in enumerate(self.steps):
            values.update(zip(step.outputs, step.run(values), strict=False))
            for name in step.inputs:
                if name and self._last_reader[name] == i and name not in kept:
                    values.pop(name, None)
        return {name: values[name] for name in kept}

    def open_batch(self, feeds: Mapping[str, Tensor]) -> None:
        """Lets a graph of batch 1 take several images, where its nodes do.

        Shapes that a Reshape is to give begin with a stored 1 there; they take the input's own size
        instead. `takes_batches` tells whether the results are right.

        Args:
            feeds: one image.
        """
        values: dict[str, Tensor] = {**self.constants, **feeds}
        with torch.no_grad():
            for step in self.steps:
                values.update(zip(step.outputs, step.run(values), strict=False))
        for i, step in enumerate(self.steps):
            ends = (values[name].shape[:1] for name in (step.inputs[0], step.outputs[0]) if name)
            if step.node.op_type == "Reshape" and all(end == (1,) for end in ends):
                self.steps[i] = replace(step, compute=_keeping_batch)


def _keeping_batch(x: Tensor, shape: Tensor) -> Tensor:
    """A Reshape whose first size is the input's, whatever is stored."""
    sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape.tolist())]
    return x.reshape(x.shape[0], *sizes[1:])


def takes_batches(graph: TorchGraph, feeds: Mapping[str, Tensor]) -> bool:
    """Tells whether several images at once give what each of them gives alone.

    Args:
        feeds: a few images, along the first axis of every input.
    """
    count = len(next(iter(feeds.values())))
    with torch.no_grad():
        alone = [graph.run({n: v[i : i + 1] for n, v in feeds.items()}) for i in range(count)]
        try:
            together = graph.run(feeds)
        except UnsupportedError:
            return False
    for name, values in together.items():
        if values.shape[:1] != (count,):
            return False
        for i, single in enumerate(alone):
            own = single[name]
            if own.shape[:1] != (1,) or own.shape[1:] != values.shape[1:]:
                return False
            room = 1e-3 * float(own.abs().max()) + 1e-6 if own.is_floating_point() else 0.0
            if not torch.allclose(values[i : i + 1], own, rtol=1e-3, atol=room):
                return False
    return True


def unsupported(node: ir.Node, reason: str) -> UnsupportedError:
    """The error that a node ends the recovery with."""
    return UnsupportedError(label(node), node.op_type, reason.splitlines()[0] if reason else "")
