"""Finds the first module where an engine and the simulation of its graph part."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.compile.quality import TINY, OutputQuality, joined, qualities_of
from edge_scnet.core.feeds import feed_of
from edge_scnet.core.optional import require
from edge_scnet.graph.cut import cut_out, members_of
from edge_scnet.graph.model import expose, save
from edge_scnet.graph.run import ort_session, run_onnx
from edge_scnet.runtimes.base import OpenOptions, Runtime
from edge_scnet.stats.decibels import comparable

if TYPE_CHECKING:
    import onnx_ir as ir

# One block cut out and fed the same inputs: 40 dB and more where the engine is right.
MODULE_FIDELITY_DB = 40.0
# Of whole numbers, so many flip where two values are close.
MODULE_DIFFERING_SHARE = 0.01


def first_parting_module(
    runtime: Runtime, qdq: ir.Model, batches: Sequence[np.ndarray], options: OpenOptions
) -> str | None:
    """Returns the first block that computes something else in the runtime than in the simulation.

    Both get the simulation's inputs. Each block is cut out with its own Q/DQ: outputs added to the
    whole engine would change its fusions and hide the fault.
    """
    blocks = members_of(qdq)
    names = list(blocks)
    # a pattern may lie across two blocks, above all where nodes have no module names: then pairs of
    # neighbours are tried
    groups = [(name, blocks[name]) for name in names]
    groups += [(f"{a} + {b}", blocks[a] + blocks[b]) for a, b in itertools.pairwise(names)]
    for name, nodes in groups:
        try:
            if _parts(runtime, qdq, nodes, batches, options):
                return name
        except Exception:
            # a part that cannot be run alone says nothing; what the caller reports does not
            # depend on it
            continue
    return None


def _parts(
    runtime: Runtime,
    qdq: ir.Model,
    nodes: Sequence[ir.Node],
    batches: Sequence[np.ndarray],
    options: OpenOptions,
) -> bool:
    """Whether a part of the graph computes something else in the runtime than in the simulation."""
    cut, inputs, outputs = cut_out(qdq, nodes)
    graph_inputs = {str(value.name) for value in qdq.graph.inputs}
    wanted = [name for name in inputs if name not in graph_inputs]
    runs = run_onnx(expose(qdq, wanted), batches, wanted) if wanted else [[] for _ in batches]
    feeds = [dict(zip(wanted, run, strict=True)) for run in runs]
    for feed, data in zip(feeds, batches, strict=True):
        given = feed_of(data, str(qdq.graph.inputs[0].name))
        feed.update({name: given[name] for name in inputs if name in graph_inputs})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "block.onnx")
        save(cut, path)
        simulated = joined([_run_named(path, feed, outputs) for feed in feeds])
        engine = joined([_engine_named(runtime, path, feed, options) for feed in feeds])
    return any(_differs(quality) for quality in qualities_of(simulated, engine))


def _differs(quality: OutputQuality) -> bool:
    """Whether an engine's output of a part is not the simulation's."""
    if quality.resized or quality.differing > MODULE_DIFFERING_SHARE * quality.elements:
        return True
    if quality.whole:
        return False
    if not quality.signal:
        return quality.largest > TINY
    return comparable(quality.db) < MODULE_FIDELITY_DB


def _run_named(path: Path, feed: dict[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
    session = ort_session(require("onnxruntime", extra="quantize"), path)
    return list(session.run(list(outputs), feed))


def _engine_named(
    runtime: Runtime, path: Path, feed: dict[str, np.ndarray], options: OpenOptions
) -> list[np.ndarray]:
    with runtime.open(path, options) as session:
        return [np.array(output) for output in session.infer_named(feed)]
