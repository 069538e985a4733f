"""Holds PyTorch's nodes to ONNX Runtime's, once, in front of every recovery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch  # noqa: TID253

from edge_scnet.graph.model import expose
from edge_scnet.graph.pairs import DEQUANTIZE, QUANTIZE
from edge_scnet.graph.run import run_onnx
from edge_scnet.recovery.executor import Step, TorchGraph, unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

# Of the range of a node's output; sums of float32 in another order differ by a few 1e-6.
_ROOM = 1e-3
# Of the elements behind a Q: on the border between two codes rounding decides.
_ON_THE_BORDER = 1e-3


def check_parity(graph: TorchGraph, model: ir.Model, feeds: Mapping[str, np.ndarray]) -> None:
    """Computes every node of what ONNX Runtime gives it, and compares.

    Fed so, a node's difference is its own, and the first one found is where it begins.

    Args:
        graph: the model in PyTorch.
        model: as it is written.
        feeds: one calibration sample, or as many as the graph's batch.

    Raises:
        UnsupportedError: names the first node that differs.
    """
    names = list(dict.fromkeys(name for step in graph.steps for name in step.outputs if name))
    exposed = expose(model, names)
    results = run_onnx(exposed, [dict(feeds)], names)[0]
    truth = dict(feeds) | dict(zip(names, results, strict=True))
    # behind a Q, PyTorch has floats: those of its DQ
    as_floats = {
        step.inputs[0]: truth[step.outputs[0]]
        for step in graph.steps
        if step.node.op_type == DEQUANTIZE and step.inputs[0] not in graph.constants
    }
    truth |= {str(name): values for name, values in as_floats.items()}
    with torch.no_grad():
        for step in graph.steps:
            _check(step, graph, truth)


def _check(step: Step, graph: TorchGraph, truth: Mapping[str, np.ndarray]) -> None:
    values = dict(graph.constants)
    for name in step.inputs:
        if name and name in truth:
            values[name] = torch.from_numpy(np.array(truth[name]))
    for name, result in zip(step.outputs, step.run(values), strict=False):
        want, have = truth[name], result.numpy()
        if want.shape != have.shape:
            raise unsupported(
                step.node, f"PyTorch gives {have.shape}, ONNX Runtime {want.shape} in {name!r}"
            )
        if want.dtype.kind != "f":
            differing = float(np.mean(want != have)) if want.size else 0.0
        else:
            finite = np.isfinite(want)
            room = _ROOM * float(np.abs(want[finite]).max(initial=0.0)) + 1e-6
            wrong = ~np.isclose(have, want, rtol=_ROOM, atol=room, equal_nan=True)
            differing = float(wrong.mean()) if want.size else 0.0
        allowed = _ON_THE_BORDER if step.node.op_type == QUANTIZE else 0.0
        if differing > allowed:
            raise unsupported(
                step.node,
                f"PyTorch gives other values than ONNX Runtime in {differing:.1%} of {name!r}",
            )
