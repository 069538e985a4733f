"""Q/DQ graph to engine, and the proof that the engine is what was asked for.

Owns the two checks after every compile: convolutions that should be INT8 execute in INT8, and the engine computes what
the simulated Q/DQ graph computes (fidelity).
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import ParityError
from edge_scnet.export.from_onnx import module_of
from edge_scnet.graph.run import ort_session, run_onnx
from edge_scnet.runtimes.base import Backend, ExecutedLayer, OpenOptions
from edge_scnet.stats.accuracy import sqnr_db

if TYPE_CHECKING:
    import onnx_ir as ir

# The engine may lose this much against the simulation, both measured against float. Distance between engine and
# simulation alone says nothing: in a deep network rounding flips grow to 13 to 19 dB even between two right ones. Seen:
# trained network 29.9 (engine) and 29.7 (simulation), the same miscompiled 6.8 and 24.8.
FIDELITY_MARGIN_DB = 2.0
# One block cut out and fed the same inputs: 40 dB and more where the engine is right.
MODULE_FIDELITY_DB = 40.0
FIDELITY_IMAGES = 64
_QDQ = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """SQNR against the float graph's outputs on the same images, in dB; None: identical."""

    engine_db: float | None
    simulation_db: float | None
    images: int


def check_executed(backend: Backend, layers: Sequence[ExecutedLayer], int8_convolutions: Sequence[str]) -> int:
    """How many of the convolutions that should be INT8 are.

    Raises:
        ParityError: at least one is not; all are named.
    """
    precision = {node: layer.precision for layer in layers if layer.kind in backend.CONVOLUTIONS for node in layer.nodes}
    wrong = [
        f"{name} ({precision.get(name, 'not found')})"
        for name in int8_convolutions
        if precision.get(name) not in backend.INT8_PRECISIONS
    ]
    if wrong:
        raise ParityError(
            f"{len(wrong)} of {len(int8_convolutions)} convolutions that should execute in INT8 do not: {', '.join(wrong[:8])}",
            hint="keep them in float on purpose with quant.keep_float in the target, or report the pattern",
        )
    return len(int8_convolutions)


def check_fidelity(
    backend: Backend, engine: Path, *, float_model: Path, qdq_model: Path, images: np.ndarray, options: OpenOptions
) -> Fidelity:
    """Compares the engine with the simulated Q/DQ graph (ONNX Runtime, optimisations off), both against float.

    Args:
        images: preprocessed real images, N x C x H x W float32.

    Raises:
        ParityError: SQNR(engine, float) < SQNR(simulation, float) - 2 dB; names the first module where they part.
    """
    ir = require("onnx_ir", extra="quantize")
    qdq = ir.load(qdq_model)
    shape = qdq.graph.inputs[0].shape
    batch = shape[0] if shape is not None and isinstance(shape[0], int) else 1
    count = max(len(images) // batch, 1) * batch
    batches = [images[np.arange(i, i + batch) % len(images)] for i in range(0, count, batch)]
    reference, simulated = _by_output(run_onnx(float_model, batches)), _by_output(run_onnx(qdq_model, batches))
    with backend.open(engine, options) as session:
        found = _by_output([[np.array(output) for output in session.infer(data)] for data in batches])
    for what, outputs in (("the compiled engine", found), (qdq_model.name, simulated)):
        if not all(np.isfinite(output).all() for output in outputs):
            raise ParityError(f"{what} gives NaN or infinity on real images", hint="look at its ranges: are the images right?")
    # each output by itself: behind a large one a small one that is wrong would not show
    pairs = [(_quality(r, f), _quality(r, s)) for r, f, s in zip(reference, found, simulated, strict=True)]
    worst = min(pairs, key=lambda pair: _infinite(pair[0]) - min(_infinite(pair[1]), 1e9))
    fidelity = Fidelity(engine_db=worst[0], simulation_db=worst[1], images=count)
    if _below(*worst, FIDELITY_MARGIN_DB):
        module = first_parting_module(backend, qdq, batches[: max(1, 8 // batch)], options)
        raise ParityError(
            f"the compiled engine does not compute what {qdq_model.name} says: {_db(worst[0])} against float, the simulated "
            f"graph {_db(worst[1])} ({FIDELITY_MARGIN_DB:g} dB are allowed); first module where they part: "
            f"{module or 'none on its own'}",
            hint="the runtime miscompiles it: keep that module in float with quant.keep_float in the target",
        )
    return fidelity


def _below(engine: float | None, simulation: float | None, margin: float) -> bool:
    return _infinite(engine) < _infinite(simulation) - margin


def _db(value: float | None) -> str:
    return "identical" if value is None else f"{value:.1f} dB"


def _infinite(value: float | None) -> float:
    return float("inf") if value is None else value


def _quality(reference: np.ndarray, found: np.ndarray) -> float | None:
    """SQNR in dB; None where they are identical, or where the reference is zero throughout and no ratio exists."""
    return sqnr_db(reference, found) if reference.any() else None


def _by_output(runs: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Runs by batch as one flat array per output."""
    return [np.concatenate([output.reshape(-1) for output in outputs]) for outputs in zip(*runs, strict=True)]


def first_parting_module(backend: Backend, qdq: ir.Model, batches: Sequence[np.ndarray], options: OpenOptions) -> str | None:
    """The first block that gives another result in the runtime than in the simulation when fed the simulation's inputs.

    Each block is cut out with its own Q/DQ: outputs added to the whole engine would change its fusions and hide the fault.
    """
    blocks = _members(qdq)
    names = list(blocks)
    # a pattern may lie across two blocks, above all where nodes have no module names: then pairs of neighbours are tried
    groups = [(name, blocks[name]) for name in names]
    groups += [(f"{a} + {b}", blocks[a] + blocks[b]) for a, b in itertools.pairwise(names)]
    return next((name for name, nodes in groups if _parts(backend, qdq, nodes, batches, options)), None)


def _parts(
    backend: Backend, qdq: ir.Model, nodes: Sequence[ir.Node], batches: Sequence[np.ndarray], options: OpenOptions
) -> bool:
    """Whether a part of the graph gives another result in the runtime than in the simulation, for the simulation's inputs."""
    ir_module = require("onnx_ir", extra="quantize")
    cut, inputs, outputs = _cut(qdq, nodes)
    graph_inputs = {str(value.name) for value in qdq.graph.inputs}
    wanted = [name for name in inputs if name not in graph_inputs]
    observed = ir_module.serde.deserialize_model(ir_module.serde.serialize_model(qdq))
    values = {value.name: value for node in observed.graph for value in node.outputs}
    observed.graph.outputs.clear()
    observed.graph.outputs.extend(values[name] for name in wanted)
    runs = run_onnx(observed, batches, wanted) if wanted else [[] for _ in batches]
    feeds = [dict(zip(wanted, run, strict=True)) for run in runs]
    for feed, data in zip(feeds, batches, strict=True):
        feed.update({name: data for name in inputs if name in graph_inputs})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "block.onnx")
        ir_module.save(cut, path)
        simulated = _by_output([_run_named(path, feed, outputs) for feed in feeds])
        engine = _by_output([_engine_named(backend, path, feed, options) for feed in feeds])
    return any(_below(_quality(s, e), MODULE_FIDELITY_DB, 0.0) for s, e in zip(simulated, engine, strict=True))


def _run_named(path: Path, feed: dict[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
    session = ort_session(require("onnxruntime", extra="quantize"), path)
    return list(session.run(list(outputs), feed))


def _engine_named(backend: Backend, path: Path, feed: dict[str, np.ndarray], options: OpenOptions) -> list[np.ndarray]:
    with backend.open(path, options) as session:
        return [np.array(output) for output in session.infer_named(feed)]


def _members(qdq: ir.Model) -> dict[str, list[ir.Node]]:
    """The graph's nodes, Q/DQ left out, by block ("layer1.0", "conv1")."""
    members: dict[str, list[ir.Node]] = {}
    for node in qdq.graph:
        if node.op_type not in _QDQ:
            members.setdefault(_block_name(node), []).append(node)
    return members


def _cut(qdq: ir.Model, nodes: Sequence[ir.Node]) -> tuple[ir.Model, list[str], list[str]]:
    """A part of the graph with its own Q/DQ as a model, and the names of its inputs and outputs."""
    ir_module = require("onnx_ir", extra="quantize")
    inside = {id(node) for node in nodes}
    inputs: dict[str, None] = {}
    outputs: dict[str, None] = {}
    for node in nodes:
        for value in node.inputs:
            source = _before_quantization(value)
            if source is None or source.is_initializer():
                continue
            producer = source.producer()
            if producer is None or id(producer) not in inside:
                inputs[str(source.name)] = None
        for value in node.outputs:
            if value.is_graph_output() or any(id(n) not in inside for n in _real_consumers(value)):
                outputs[str(_after_quantization(value).name)] = None
    graph = ir_module.convenience.extract(qdq.graph, list(inputs), list(outputs))
    return ir_module.Model(graph, ir_version=qdq.ir_version), list(inputs), list(outputs)


def _block_name(node: ir.Node) -> str:
    """ "layer1.0.scconv.k2.1" -> "layer1.0", "conv1" -> "conv1", "/features/3/conv/Conv" -> "features.3"."""
    parts = module_of(node).strip("/").replace("/", ".").split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and parts[1].isdigit() else parts[0]


def _before_quantization(value: ir.Value | None) -> ir.Value | None:
    while (
        value is not None
        and (producer := value.producer()) is not None
        and producer.op_type in ("QuantizeLinear", "DequantizeLinear")
    ):
        value = producer.inputs[0]
    return value


def _after_quantization(value: ir.Value) -> ir.Value:
    for use in value.uses():
        if use.node.op_type == _QDQ[0]:
            return next(u.node for u in use.node.outputs[0].uses() if u.node.op_type == _QDQ[1]).outputs[0]
    return value


def _real_consumers(value: ir.Value) -> list[ir.Node]:
    found = []
    for use in value.uses():
        if use.node.op_type in _QDQ:
            found += _real_consumers(use.node.outputs[0])
        else:
            found.append(use.node)
    return found
