"""What an engine's layers say about it, as a row of a report: precisions, time by layer, and why
INT8 gains little. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge_scnet.report.run_report import LayerTime

if TYPE_CHECKING:
    from edge_scnet.runtimes.base import ExecutedLayer, Runtime


def row_facts(
    layers: Sequence[ExecutedLayer],
    runtime: Runtime,
    *,
    int8: bool,
    times_ms: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The fields of an `EngineReport` that layers tell.

    Args:
        int8: the engine is meant to be INT8, so that what is not is worth naming.
        times_ms: median time by layer name, where it was measured.
    """
    known = [layer for layer in layers if layer.precision != "?"]
    kernels = [layer for layer in known if layer.kind in runtime.convolutions]
    in_float = (
        [layer for layer in kernels if layer.precision not in runtime.int8_precisions]
        if int8
        else []
    )
    by_name = {layer.name: layer for layer in layers if layer.name}
    timed = [(name, by_name.get(name), ms) for name, ms in (times_ms or {}).items()]
    return {
        "convolutions": dict(Counter(layer.precision for layer in kernels)),
        "other_layers": dict(
            Counter(layer.precision for layer in known if layer.kind not in runtime.convolutions)
        ),
        "copies": tuple(_module(layer) for layer in layers if layer.is_copy) if int8 else (),
        "float_convolutions": tuple(_module(layer) for layer in in_float),
        "layer_times": tuple(
            LayerTime(
                name=name,
                kind=layer.kind if layer else "?",
                precision=layer.precision if layer else "?",
                modules=layer.nodes if layer else (),
                median_ms=ms,
            )
            for name, layer, ms in timed
        ),
    }


def _module(layer: ExecutedLayer) -> str:
    """The module a layer belongs to; a copy has no node of its own, and its name tells which layer
    it is made for: "Reformatting CopyNode for Input Tensor 0 to layer1.0.conv1 + layer1.0.relu".
    """
    if layer.nodes:
        return layer.nodes[0]
    return layer.name.rpartition(" to ")[2].partition(" + ")[0]
