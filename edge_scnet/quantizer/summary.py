"""Summaries of activations, image by image, computed inside the runtime.

Fetching every activation of SCNet-50 costs 84 MB of copies an image, and reading them again in
NumPy a third of the time of computing them. So the graph gets reductions and a sample of each
tensor as further outputs; what it cannot reduce is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer, names_in
from edge_scnet.graph.run import Observer
from edge_scnet.machine.linux import usable_cores

if TYPE_CHECKING:
    import onnx_ir as ir

SAMPLED_ELEMENTS = 1 << 14
# The opsets from which reductions take their axes as an input.
_AXES_AS_INPUT_OF_SUM, _AXES_AS_INPUT = 13, 18
_REDUCED_RANKS = (3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class Summary:
    """What calibration reads of one tensor of one image."""

    # Minimum and maximum of each entry of the first axis: per channel of C x H x W and of C.
    low: np.ndarray
    high: np.ndarray
    finite: bool
    # At most SAMPLED_ELEMENTS of the values, at fixed positions.
    sample: np.ndarray


def summarize(values: np.ndarray, *, sample: bool = True) -> Summary:
    """Returns the summary of an array without batch axis, float32."""
    flat = values.reshape(values.shape[0] if values.ndim else 1, -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    finite = bool(np.isfinite(low).all() and np.isfinite(high).all())
    # a copy, lest the few values kept hold on to the whole tensor
    kept = flat.reshape(-1)[:: _stride(flat.size)].copy() if sample else np.zeros(0, np.float32)
    return Summary(low, high, finite, kept)


@cache
def _stride(elements: int) -> int:
    """The step between the values that are sampled.

    It is coprime to their number, so that no column of an image is favoured.
    """
    stride = -(-elements // SAMPLED_ELEMENTS)
    while math.gcd(stride, elements) != 1:
        stride += 1
    return stride


class Summarizer:
    """Runs a graph and gives the summaries of tensors of its inside."""

    def __init__(self, model: ir.Model, names: Sequence[str], *, sample: bool = True) -> None:
        """Loads a copy of the graph; `model` is not kept.

        Args:
            sample: whether values are sampled too.
        """
        self._sample = sample
        observed = model.clone()
        self._reduced = _add_reductions(observed, set(names), sample=sample)
        fetched = [name for name in names if name not in self._reduced]
        fetched += [output for outputs in self._reduced.values() for output in outputs]
        self._names = tuple(names)
        self._observer = Observer(observed, fetched, at_once=usable_cores())

    def run(self, images: Iterable[np.ndarray]) -> Iterator[dict[str, Summary]]:
        """Yields the summaries of every image, by tensor.

        Args:
            images: as for `Observer.run`.
        """
        for values in self._observer.run(images):
            yield {name: self._summary(name, values) for name in self._names}

    def _summary(self, name: str, values: dict[str, np.ndarray]) -> Summary:
        if name not in self._reduced:
            return summarize(values[name], sample=self._sample)
        low, high, total, *sample = (values[output] for output in self._reduced[name])
        # ONNX Runtime's minimum and maximum step over NaN; its sum does not
        return Summary(
            low,
            high,
            bool(np.isfinite(total).all()),
            # whole where the first axis is no batch
            sample[0].reshape(-1) if sample else np.zeros(0, np.float32),
        )


def _add_reductions(model: ir.Model, names: set[str], *, sample: bool) -> dict[str, list[str]]:
    """Adds reductions and a sample of the named tensors, in place, where they are N x C x ....

    Returns:
        The names of the outputs added, by tensor: minimum, maximum, sum, sample.
    """
    ir_module = require("onnx_ir", extra="quantize")
    graph, added = model.graph, dict[str, list[str]]()
    opset = model.opset_imports.get("", 0)
    if opset < _AXES_AS_INPUT_OF_SUM:
        return added
    add = partial(add_initializer, graph, taken=names_in(graph))
    constant = {
        key: add(f"__summary_{key}", np.array(value, np.int64))
        for key, value in (("first", [0]), ("end", [2**62]), ("one", [1]))
    }
    spatial = {
        rank: add(f"__summary_axes_{rank}", np.arange(2, rank, dtype=np.int64))
        for rank in _REDUCED_RANKS
    }
    values = [value for node in graph for value in node.outputs if value.name in names]
    # ONNX Runtime orders nodes from the last one without a reader backwards: in this order every
    # tensor is summarized as soon as it is there, and its memory is free again
    for value in reversed(values):
        shape = [d for d in value.shape if isinstance(d, int)] if value.shape is not None else []
        rank = len(shape)
        if value.shape is None or rank != len(value.shape) or rank not in _REDUCED_RANKS:
            continue
        name, nodes = str(value.name), []
        for op in ("ReduceMin", "ReduceMax", "ReduceSum"):
            by_input = op == "ReduceSum" or opset >= _AXES_AS_INPUT
            axes = {} if by_input else {"axes": [*range(2, rank)]}
            inputs = [value, spatial[rank]] if by_input else [value]
            nodes.append(ir_module.node(op, inputs, attributes={"keepdims": 0, **axes}))
        if sample:
            rows = add(f"{name}__rows", np.array([shape[0], -1], np.int64))
            step = add(f"{name}__step", np.array([_stride(math.prod(shape[1:]))], np.int64))
            flat = ir_module.node("Reshape", [value, rows])
            graph.append(flat)
            flat.outputs[0].name = f"{name}__flat"
            ends = [constant["first"], constant["end"], constant["one"], step]
            nodes.append(ir_module.node("Slice", [flat.outputs[0], *ends]))
        added[name] = [f"{name}__{node.op_type}" for node in nodes]
        for node, output in zip(nodes, added[name], strict=True):
            graph.append(node)
            node.outputs[0].name = output
    return added
