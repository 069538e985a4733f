"""What an engine's layers say about it, as a row of a report: precisions, time by layer, and why INT8 gains little. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edge_scnet.report.verdict import Finding

if TYPE_CHECKING:
    from edge_scnet.runtimes.base import Backend, ExecutedLayer

_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """One layer's time in one inference, of a run that times each layer by itself: their sum is more than the latency."""

    name: str
    kind: str
    precision: str
    modules: tuple[str, ...]  # the graph's nodes in it, which are named after modules
    median_ms: float


def row_facts(
    layers: Sequence[ExecutedLayer], backend: Backend, *, int8: bool, times_ms: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The fields of an `EngineReport` that layers tell.

    Args:
        int8: the engine is meant to be INT8, so that what is not is worth naming.
        times_ms: median time by layer name, where it was measured.
    """
    known = [layer for layer in layers if layer.precision != "?"]
    kernels = [layer for layer in known if layer.kind in backend.CONVOLUTIONS]
    in_float = [layer for layer in kernels if layer.precision not in backend.INT8_PRECISIONS] if int8 else []
    by_name = {layer.name: layer for layer in layers if layer.name}
    timed = [(name, by_name.get(name), ms) for name, ms in (times_ms or {}).items()]
    return {
        "convolutions": dict(Counter(layer.precision for layer in kernels)),
        "other_layers": dict(Counter(layer.precision for layer in known if layer.kind not in backend.CONVOLUTIONS)),
        "copies": tuple(_module(layer) for layer in layers if layer.is_copy) if int8 else (),
        "float_convolutions": tuple(_module(layer) for layer in in_float),
        "layer_times": tuple(
            LayerTime(
                name=name, kind=layer.kind if layer else "?", precision=layer.precision if layer else "?",
                modules=layer.nodes if layer else (), median_ms=ms,
            )
            for name, layer, ms in timed
        ),
    }  # fmt: skip


def _module(layer: ExecutedLayer) -> str:
    """The module a layer belongs to; a copy has no node of its own, and its name tells which layer it is made for:
    "Reformatting CopyNode for Input Tensor 0 to layer1.0.conv1 + layer1.0.relu"."""
    if layer.nodes:
        return layer.nodes[0]
    return layer.name.rpartition(" to ")[2].partition(" + ")[0]


def explained(speed: Finding, *, copies: Sequence[str], float_convolutions: Sequence[str]) -> Finding:
    """The finding on INT8's speed with what takes from it, by module."""
    words = []
    if copies:
        words.append(f"{_count(len(copies), 'layer')} only {'copies' if len(copies) == 1 else 'copy'} data ({_names(copies)})")
    if float_convolutions:
        words.append(f"{_count(len(float_convolutions), 'convolution')} in float ({_names(float_convolutions)})")
    if not words:
        return speed
    return replace(speed, message=f"{speed.message} What takes from it: {'; '.join(words)}.")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _names(modules: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(modules))
    return ", ".join(distinct[:_NAMED]) + (", ..." if len(distinct) > _NAMED else "")
