"""What an engine's layers say about it: precisions, time by layer, and why INT8 gains little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from edge_scnet.report.run_report import CostlyLayer, LayerTime
from edge_scnet.runtimes.base import UNKNOWN_PRECISION, ExecutedLayer, Runtime

FLOATS: Final = frozenset({"fp32", "fp16", "bf16"})
_ANOTHER_BUILD = "another build may choose other kernels: --builds 5"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersSummary:
    """The fields of an `EngineReport` that its layers tell."""

    # how many execute in which precision
    convolutions: dict[str, int]
    other_layers: dict[str, int]
    # of an INT8 engine: modules before which data is only converted, and modules in float
    copies: tuple[str, ...]
    float_convolutions: tuple[str, ...]
    layer_times: tuple[LayerTime, ...]
    # of an INT8 plan: its copies and float layers by their time
    costly: tuple[CostlyLayer, ...] = ()


def summary_of_layers(
    layers: Sequence[ExecutedLayer],
    runtime: Runtime,
    *,
    int8: bool,
    times_ms: Mapping[str, float] | None = None,
    nodes: Collection[str] = (),
    not_int8: Collection[str] = (),
) -> LayersSummary:
    """What the layers of an engine say about it.

    Args:
        int8: the engine is meant to be INT8, so that what is not is worth naming.
        times_ms: median time by layer name, where it was measured.
        nodes: names of the graph's convolutions, where the kinds of the runtime's kernels do not
            always tell that they are ("fusion", "gemm").
        not_int8: modules that should execute in INT8 and do not.
    """
    executed = [layer for layer in layers if layer.precision != UNKNOWN_PRECISION]
    convolutions: list[ExecutedLayer] = []
    others: list[ExecutedLayer] = []
    for layer in executed:
        found = layer.is_convolution or layer.kind in runtime.convolutions
        (convolutions if found else others).append(layer)
    unnamed = set(nodes) - {node for layer in convolutions for node in layer.nodes}
    for layer in [layer for layer in others if not layer.is_copy]:
        # the first that names a node: its activation may be a layer of its own behind it
        if named := unnamed.intersection(layer.nodes):
            unnamed -= named
            others.remove(layer)
            convolutions.append(layer)
    in_float = [layer for layer in convolutions if layer.precision not in runtime.int8_precisions]
    copies = [layer for layer in layers if layer.is_copy]
    return LayersSummary(
        convolutions=dict(Counter(layer.precision for layer in convolutions)),
        other_layers=dict(Counter(layer.precision for layer in others)),
        copies=tuple(map(_module, copies)) if int8 else (),
        float_convolutions=tuple(map(_module, in_float)) if int8 else (),
        layer_times=_layer_times(layers, times_ms or {}),
        costly=_costly(layers, in_float, times_ms or {}, not_int8)
        if int8 and runtime.takes_cuda_graph
        else (),
    )


def _costly(
    layers: Sequence[ExecutedLayer],
    convolutions: Sequence[ExecutedLayer],
    times_ms: Mapping[str, float],
    not_int8: Collection[str],
) -> tuple[CostlyLayer, ...]:
    """The layers of a plan that INT8 does not make faster, the slowest first.

    Args:
        convolutions: those of them that are in float.
    """
    total_ms = sum(times_ms.values())
    found = []
    for layer in layers:
        ms = times_ms.get(layer.name, 0.0)
        if ms <= 0 or not (layer.is_copy or layer.precision in FLOATS):
            continue
        module = _module(layer)
        why, advice = _reason(layer, module, convolutions, not_int8)
        found.append(
            CostlyLayer(
                module=module,
                why=why,
                kind=layer.kind,
                precision=layer.precision,
                median_ms=ms,
                percent=100 * ms / total_ms,
                advice=advice,
            )
        )
    return tuple(sorted(found, key=lambda row: -row.median_ms))


def _reason(
    layer: ExecutedLayer,
    module: str,
    convolutions: Sequence[ExecutedLayer],
    not_int8: Collection[str],
) -> tuple[Literal["copy", "float convolution", "float layer"], str]:
    """Why INT8 does not make a layer faster, and what to do about it."""
    if layer.is_copy and UNKNOWN_PRECISION in (layer.precision, layer.writes):
        return "copy", _ANOTHER_BUILD
    if layer.is_copy and layer.precision == layer.writes:
        return "copy", f"the layout alone changes between two kernels: {_ANOTHER_BUILD}"
    if layer.is_copy:
        return (
            "copy",
            f"{layer.precision} becomes {layer.writes}: neighbours in one precision need no copy:"
            " edge-scnet sensitivity tells what may be in float, quant.keep_float puts it there",
        )
    if not any(layer is convolution for convolution in convolutions):
        return "float layer", "the FP16 twin has it too: it bounds what INT8 can gain"
    if set(not_int8).intersection(layer.nodes):
        return "float convolution", f"TensorRT chose a kernel in float for it: {_ANOTHER_BUILD}"
    return (
        "float convolution",
        "it is not quantized: quant.keep_float of the target, or edge-scnet inspect, tells why",
    )


def _layer_times(
    layers: Sequence[ExecutedLayer], times_ms: Mapping[str, float]
) -> tuple[LayerTime, ...]:
    by_name = {layer.name: layer for layer in layers if layer.name}
    unknown = ExecutedLayer(kind="?", precision=UNKNOWN_PRECISION, nodes=())
    timed = [(name, by_name.get(name, unknown), ms) for name, ms in times_ms.items()]
    return tuple(
        LayerTime(
            name=name,
            kind=layer.kind,
            precision=layer.precision,
            modules=layer.nodes,
            median_ms=ms,
        )
        for name, layer, ms in timed
    )


def _module(layer: ExecutedLayer) -> str:
    """The module that a layer belongs to.

    A copy has no node of its own, and its name tells which layer it is made for: "Reformatting
    CopyNode for Input Tensor 0 to layer1.0.conv1 + layer1.0.relu".
    """
    if layer.nodes:
        return layer.nodes[0]
    return layer.name.rpartition(" to ")[2].partition(" + ")[0]
