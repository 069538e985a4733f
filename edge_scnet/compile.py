"""Q/DQ graph to engine, and the proof that the engine is what was asked for.

Owns the two checks after every compile: convolutions that should be INT8 execute in INT8, and the engine computes what
the simulated Q/DQ graph computes (fidelity).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.backends.base import INT8_PRECISIONS, Backend, ExecutedLayer, OpenOptions
from edge_scnet.errors import ParityError
from edge_scnet.export import module_of
from edge_scnet.metrics import sqnr_db
from edge_scnet.optional import require
from edge_scnet.simulate import ort_session, run_onnx

if TYPE_CHECKING:
    import onnx_ir as ir

# The engine may lose this much against the simulation, both measured against float. Distance between engine and
# simulation alone says nothing: in a deep network rounding flips grow to 13 to 19 dB even between two right ones. Seen:
# trained network 29.9 (engine) and 29.7 (simulation), the same miscompiled 6.8 and 24.8.
FIDELITY_MARGIN_DB = 2.0
# One block cut out and fed the same inputs: 40 dB and more where the engine is right.
MODULE_FIDELITY_DB = 40.0
FIDELITY_IMAGES = 64
_CONVOLUTIONS = ("Convolution",)
_QDQ = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """SQNR against the float graph's outputs on the same images, in dB; None: identical."""

    engine_db: float | None
    simulation_db: float | None
    images: int


def check_executed(layers: Sequence[ExecutedLayer], int8_convolutions: Sequence[str]) -> int:
    """How many of the convolutions that should be INT8 are.

    Raises:
        ParityError: at least one is not; all are named.
    """
    precision = {node: layer.precision for layer in layers if layer.kind in _CONVOLUTIONS for node in layer.nodes}
    wrong = [
        f"{name} ({precision.get(name, 'not found')})"
        for name in int8_convolutions
        if precision.get(name) not in INT8_PRECISIONS
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
    reference = _flat(run_onnx(float_model, batches))
    simulated = _flat(run_onnx(qdq_model, batches))
    with backend.open(engine, options) as session:
        found = _flat([[np.array(output) for output in session.infer(data)] for data in batches])
    if not np.isfinite(found).all():
        raise ParityError(f"{engine.name} gives NaN or infinity on real images", hint="edge-scnet build --target cpu-avx2")
    fidelity = Fidelity(engine_db=sqnr_db(reference, found), simulation_db=sqnr_db(reference, simulated), images=count)
    if _below(fidelity.engine_db, fidelity.simulation_db, FIDELITY_MARGIN_DB):
        module = first_parting_module(backend, qdq, batches[: max(1, 8 // batch)], options)
        raise ParityError(
            f"{engine.name} does not compute what its Q/DQ graph says: {_db(fidelity.engine_db)} against float, the simulated "
            f"graph {_db(fidelity.simulation_db)} ({FIDELITY_MARGIN_DB:g} dB are allowed); first module where they part: "
            f"{module or 'none on its own'}",
            hint="the runtime miscompiles a pattern, or 8-bit weights saturate on this CPU: edge-scnet build --target cpu-avx2",
        )
    return fidelity


def _below(engine: float | None, simulation: float | None, margin: float) -> bool:
    return (np.inf if engine is None else engine) < (np.inf if simulation is None else simulation) - margin


def _db(value: float | None) -> str:
    return "identical" if value is None else f"{value:.1f} dB"


def _flat(outputs: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    return np.concatenate([output.reshape(-1) for batch in outputs for output in batch])


def first_parting_module(backend: Backend, qdq: ir.Model, batches: Sequence[np.ndarray], options: OpenOptions) -> str | None:
    """The first block that gives another result in the runtime than in the simulation when fed the simulation's inputs.

    Each block is cut out with its own Q/DQ: outputs added to the whole engine would change its fusions and hide the fault.
    """
    ir = require("onnx_ir", extra="quantize")
    for name, cut, inputs, outputs in _blocks(qdq):
        observed = ir.serde.deserialize_model(ir.serde.serialize_model(qdq))
        values = {v.name: v for v in observed.graph.inputs} | {v.name: v for n in observed.graph for v in n.outputs}
        observed.graph.outputs.clear()
        graph_inputs = {v.name for v in observed.graph.inputs}
        wanted = [i for i in inputs if i not in graph_inputs]
        observed.graph.outputs.extend(values[i] for i in wanted)
        fed = (
            [dict(zip(wanted, run, strict=True)) for run in run_onnx(observed, batches, wanted)]
            if wanted
            else [{} for _ in batches]
        )
        for feed, data in zip(fed, batches, strict=True):
            feed.update({i: data for i in inputs if i in graph_inputs})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "block.onnx")
            ir.save(cut, path)
            simulated = [_run_named(path, feed, outputs) for feed in fed]
            engine = [_engine_named(backend, path, feed, options) for feed in fed]
        if _below(sqnr_db(_flat(simulated), _flat(engine)), MODULE_FIDELITY_DB, 0.0):
            return name
    return None


def _run_named(path: Path, feed: dict[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
    session = ort_session(require("onnxruntime", extra="quantize"), path)
    return list(session.run(list(outputs), feed))


def _engine_named(backend: Backend, path: Path, feed: dict[str, np.ndarray], options: OpenOptions) -> list[np.ndarray]:
    with backend.open(path, options) as session:
        return [np.array(output) for output in session.infer_named(feed)]


def _blocks(qdq: ir.Model) -> list[tuple[str, ir.Model, list[str], list[str]]]:
    """The graph cut into blocks by module ("layer1.0", "conv1"): name, model, names of its inputs and outputs."""
    ir_module = require("onnx_ir", extra="quantize")
    members: dict[str, list[ir.Node]] = {}
    for node in qdq.graph:
        if node.op_type not in _QDQ:
            members.setdefault(_block_name(node), []).append(node)
    blocks = []
    for name, nodes in members.items():
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
        cut = ir_module.Model(graph, ir_version=qdq.ir_version)
        blocks.append((name, cut, list(inputs), list(outputs)))
    return blocks


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
        if use.node.op_type == "QuantizeLinear":
            return next(u.node for u in use.node.outputs[0].uses() if u.node.op_type == "DequantizeLinear").outputs[0]
    return value


def _real_consumers(value: ir.Value) -> list[ir.Node]:
    found = []
    for use in value.uses():
        if use.node.op_type in _QDQ:
            found += _real_consumers(use.node.outputs[0])
        else:
            found.append(use.node)
    return found
