"""What leaving modules in float costs in time, told before an engine with them is built.

It is read off two engines that are built anyway: the layers' times of the all-INT8 one, and of the
float one. A module's cost is the difference of its layers in both. Where an INT8 module and one in
float meet, a tensor is converted: between two INT8 modules that happens inside a kernel. What a
converted value takes is measured at the conversions that the all-INT8 engine has, as in front of
its first layer.

The sum is a prediction: kernels are fused in other ways in an engine of both. The mix that is
chosen by it is built and timed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_scnet.graph.operators import passes_scale
from edge_scnet.quantizer.sites import FUSED, Placement
from edge_scnet.runtimes.base import ExecutedLayer

if TYPE_CHECKING:
    import onnx_ir as ir

# Of a value that is converted, where the INT8 engine has no conversion of its own: about what one
# core of an x86-64 processor takes.
_CONVERTED_MS = 3e-7
_QUANTIZE, _DEQUANTIZE = "/Q", "/DQ"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedLayers:
    """An engine's layers, and what each took."""

    layers: Sequence[ExecutedLayer]
    # median by layer name
    times_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Border:
    """A tensor that is quantized, and the modules at it."""

    # of its conversion, in the time of the all-INT8 engine
    cost: float
    # modules whose kernels can write its codes, and those that read them
    writers: frozenset[str]
    readers: frozenset[str]

    def converted(self, kept: Collection[str]) -> bool:
        """Whether it is converted by itself, with these modules in float."""
        in_float = len(self.readers.intersection(kept))
        if in_float == len(self.readers):
            return False
        return in_float > 0 or bool(self.writers.intersection(kept))


class Costs:
    """The extra time of modules in float, relative to the all-INT8 engine's."""

    def __init__(self, modules: Mapping[str, float], borders: Sequence[_Border] = ()) -> None:
        """Keeps what each module costs by itself, and the tensors between them."""
        self._modules = modules
        self._borders: dict[str, list[_Border]] = {}
        for border in borders:
            for name in border.writers | border.readers:
                self._borders.setdefault(name, []).append(border)

    def added(self, name: str, kept: Collection[str]) -> float:
        """What one module more in float costs; below 0 where the engine becomes faster."""
        more = {*kept, name}
        return self._modules.get(name, 0.0) + sum(
            border.cost * (border.converted(more) - border.converted(kept))
            for border in self._borders.get(name, ())
        )

    def of(self, names: Sequence[str]) -> float:
        """What modules in float cost together."""
        kept: set[str] = set()
        total = 0.0
        for name in names:
            total += self.added(name, kept)
            kept.add(name)
        return total


def costs_by_work(work: Mapping[str, int]) -> Costs:
    """Costs where nothing can be timed: each module's share of the multiply-adds."""
    total = sum(work.values()) or 1
    return Costs({name: count / total for name, count in work.items()})


def costs_by_time(
    model: ir.Model, placed: Placement, int8: TimedLayers, in_float: TimedLayers
) -> Costs:
    """Costs by the layers' times of the all-INT8 engine and the float one.

    Args:
        model: the float graph.
        placed: what is quantized in the all-INT8 engine.
    """
    modules = frozenset(placed.int8_nodes)
    whole = sum(int8.times_ms.values())
    own, other = _by_module(int8, modules), _by_module(in_float, modules)
    extra = {
        name: (other[name] - own[name]) / whole for name in modules if name in own and name in other
    }
    values = {str(v.name): v for v in model.graph.inputs}
    values |= {str(v.name): v for node in model.graph for v in node.outputs}
    sizes = {site.tensor: _size(values[site.tensor]) for site in placed.activations}
    rate = _conversion_ms(int8, sizes)
    readers = _readers(model, modules, sizes)
    return Costs(
        extra,
        [
            _Border(
                cost=rate * size / whole,
                writers=writers,
                readers=frozenset(readers.get(tensor, ())),
            )
            for tensor, size in sizes.items()
            # what no INT8 kernel writes is converted in the all-INT8 engine too
            if (writers := _writers(values[tensor], modules))
        ],
    )


def _by_module(timed: TimedLayers, modules: Collection[str]) -> dict[str, float]:
    """Time by module; a layer of several is theirs in equal parts."""
    times: dict[str, float] = {}
    for layer in timed.layers:
        found = [node for node in layer.nodes if node in modules]
        for name in found:
            part = timed.times_ms.get(layer.name, 0.0) / len(found)
            times[name] = times.get(name, 0.0) + part
    return times


def _conversion_ms(int8: TimedLayers, sizes: Mapping[str, int]) -> float:
    """Least time to convert one value, of the layers that convert and do nothing else."""
    rates = []
    for layer in int8.layers:
        names = {
            node.removesuffix(suffix)
            for node in layer.nodes
            for suffix in (_QUANTIZE, _DEQUANTIZE)
            if node.endswith(suffix)
        }
        converts = bool(layer.nodes) and all(
            node.endswith((_QUANTIZE, _DEQUANTIZE)) for node in layer.nodes
        )
        count = sum(sizes.get(name, 0) for name in names)
        if converts and count and (ms := int8.times_ms.get(layer.name, 0.0)) > 0:
            rates.append(ms / count)
    return min(rates, default=_CONVERTED_MS)


def _size(value: ir.Value) -> int:
    """The numbers in a tensor; open sizes count as 1."""
    if value.shape is None:
        return 1
    return math.prod(size if isinstance(size, int) else 1 for size in value.shape)


def _readers(
    model: ir.Model, modules: Collection[str], tensors: Collection[str]
) -> dict[str, set[str]]:
    """The modules that read each tensor, as it is or picked and moved."""
    found: dict[str, set[str]] = {}
    for node in model.graph:
        value = node.inputs[0] if node.name in modules else None
        while value is not None and value.name not in tensors:
            producer = value.producer()
            value = producer.inputs[0] if producer is not None and passes_scale(producer) else None
        if value is not None:
            found.setdefault(str(value.name), set()).add(str(node.name))
    return found


def _writers(value: ir.Value, modules: Collection[str]) -> frozenset[str]:
    """The modules that a tensor comes from, with nothing but small operators between."""
    producer = value.producer()
    if producer is None:
        return frozenset()
    if producer.name in modules:
        return frozenset({str(producer.name)})
    if producer.op_type not in FUSED:
        return frozenset()
    return frozenset().union(
        *(_writers(source, modules) for source in producer.inputs if source is not None)
    )
