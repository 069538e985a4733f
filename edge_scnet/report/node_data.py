"""Figures by node of the graph, in files that a graph viewer lays over the network.

The form is "node data" of Google's Model Explorer: by the name of a node a value, with a colour or
a gradient of colours for all. Its viewer of ONNX files (model-explorer-onnx) knows a node by the
name that the file gives it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from edge_scnet.core.manifest import NODE_NOISE, NODE_PRECISION, NODE_TIME
from edge_scnet.report.blocks import INT8, own_nodes
from edge_scnet.report.run_report import EngineReport, LayerTime, RunReport, timed_row
from edge_scnet.stats.figures import NoisePart

# Light where there is little, as the viewer's nodes are: it has dark text on them.
_TIME_COLORS: Final = ("#fff7ec", "#d7591f")
_NOISE_COLORS: Final = ("#fbf4f9", "#a3508a")
_INT8_COLOR, _FLOAT_COLOR = "#9ccae6", "#f0b878"


def node_data(report: RunReport, ids: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the texts of the files by their names; of what was not measured there is none.

    Args:
        ids: of each name of a node or of a tensor in the graph, the node's own; None: it is not at
            hand, and nodes have the names that the runtime tells.
    """
    row = timed_row(report)
    files: dict[str, str] = {}
    if row is not None and row.layer_times:
        files[NODE_TIME] = _text(f"{row.name}: time, ms", _times(row, ids), _TIME_COLORS)
        files[NODE_PRECISION] = _text(f"{row.name}: executed in", _precisions(row, ids))
    if report.noise:
        files |= noise_data(report.noise, ids)
    return files


def noise_data(parts: Iterable[NoisePart], ids: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the text of the file with each module's part of INT8's noise, by its name."""
    found = {node: part.percent for part in parts for node in _known([part.module], ids)}
    results = {node: {"value": round(percent, 4)} for node, percent in found.items()}
    return {NODE_NOISE: _text("INT8: share of noise, %", results, _NOISE_COLORS)}


def _text(name: str, results: Mapping[str, Any], colors: tuple[str, ...] = ()) -> str:
    """A file of values by node.

    Args:
        colors: of the least value and of the greatest.
    """
    content: dict[str, Any] = {"name": name, "results": results}
    if colors:
        stops = enumerate(colors)
        content["gradient"] = [{"stop": stop, "bgColor": color} for stop, color in stops]
    return json.dumps(content, indent=1) + "\n"


def _times(row: EngineReport, ids: Mapping[str, str] | None) -> dict[str, Any]:
    """The time of each layer at one of its nodes, so that a viewer's sums over modules are right.

    It is the node that the runtime named the layer after, where the graph has it.
    """
    sums: dict[str, float] = {}
    for layer, nodes in _nodes(row, ids):
        sums[nodes[0]] = sums.get(nodes[0], 0.0) + layer.median_ms
    return {node: {"value": round(ms, 6)} for node, ms in sums.items()}


def _precisions(row: EngineReport, ids: Mapping[str, str] | None) -> dict[str, Any]:
    """In what each node of a layer executes; of a node in several layers the slowest decides."""
    found: dict[str, str] = {}
    for layer, nodes in sorted(_nodes(row, ids), key=lambda entry: entry[0].median_ms):
        found |= dict.fromkeys(nodes, layer.precision)
    return {
        node: {"value": precision, "bgColor": _INT8_COLOR if precision in INT8 else _FLOAT_COLOR}
        for node, precision in found.items()
    }


def _nodes(
    row: EngineReport, ids: Mapping[str, str] | None
) -> Iterable[tuple[LayerTime, list[str]]]:
    """The layers with their nodes; those left out are of no node of the graph."""
    for layer in row.layer_times:
        if nodes := _known(own_nodes(layer), ids):
            yield layer, nodes


def _known(names: Iterable[str], ids: Mapping[str, str] | None) -> list[str]:
    if ids is None:
        return list(names)
    return list(dict.fromkeys(ids[name] for name in names if name in ids))
