"""Q/DQ graph to engine, and the proof that the engine is what was asked for.

Owns the two checks after every compile: convolutions that should be INT8 execute in INT8, and the
engine computes what the simulated Q/DQ graph computes (fidelity).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_scnet.compile.parting import first_parting_module
from edge_scnet.compile.quality import (
    FIDELITY_MARGIN_DB,
    Fidelity,
    below_simulation,
    by_output,
    quality_of,
)
from edge_scnet.errors import ParityError
from edge_scnet.graph.model import batch_of, load
from edge_scnet.graph.run import run_onnx
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions, Runtime
from edge_scnet.stats.decibels import comparable, decibels


def check_executed(
    runtime: Runtime, layers: Sequence[ExecutedLayer], int8_convolutions: Sequence[str]
) -> int:
    """How many of the convolutions that should be INT8 are.

    Raises:
        ParityError: at least one is not; all are named.
    """
    precision = {
        node: layer.precision
        for layer in layers
        if layer.kind in runtime.convolutions
        for node in layer.nodes
    }
    wrong = [
        f"{name} ({precision.get(name, 'not found')})"
        for name in int8_convolutions
        if precision.get(name) not in runtime.int8_precisions
    ]
    if wrong:
        raise ParityError(
            f"{len(wrong)} of {len(int8_convolutions)} convolutions that should execute in INT8 do"
            f" not: {', '.join(wrong[:8])}",
            hint=(
                "keep them in float on purpose with quant.keep_float in the target, or report the"
                " pattern"
            ),
        )
    return len(int8_convolutions)


def check_fidelity(
    runtime: Runtime,
    engine: Path,
    *,
    float_model: Path,
    qdq_model: Path,
    images: np.ndarray,
    options: OpenOptions,
) -> Fidelity:
    """Compares the engine with the simulated Q/DQ graph (ONNX Runtime, optimisations off), both
    against float.

    Args:
        images: preprocessed real images, N x C x H x W float32.

    Raises:
        ParityError: SQNR(engine, float) < SQNR(simulation, float) - 2 dB; names the first module
            where they part.
    """
    qdq = load(qdq_model)
    batch = batch_of(qdq)
    count = max(len(images) // batch, 1) * batch
    batches = [images[np.arange(i, i + batch) % len(images)] for i in range(0, count, batch)]
    reference, simulated = (
        by_output(run_onnx(float_model, batches)),
        by_output(run_onnx(qdq_model, batches)),
    )
    with runtime.open(engine, options) as session:
        found = by_output(
            [[np.array(output) for output in session.infer(data)] for data in batches]
        )
    for what, outputs in (("the compiled engine", found), (qdq_model.name, simulated)):
        if not all(np.isfinite(output).all() for output in outputs):
            raise ParityError(
                f"{what} gives NaN or infinity on real images",
                hint="look at its ranges: are the images right?",
            )
    # each output by itself: behind a large one a small one that is wrong would not show
    pairs = [
        (quality_of(r, f), quality_of(r, s))
        for r, f, s in zip(reference, found, simulated, strict=True)
    ]
    worst = min(pairs, key=lambda pair: comparable(pair[0]) - min(comparable(pair[1]), 1e9))
    fidelity = Fidelity(engine_db=worst[0], simulation_db=worst[1], images=count)
    if below_simulation(*worst, FIDELITY_MARGIN_DB):
        words = [decibels(value, exact="identical") for value in worst]
        module = first_parting_module(runtime, qdq, batches[: max(1, 8 // batch)], options)
        raise ParityError(
            f"the compiled engine does not compute what {qdq_model.name} says: {words[0]}"
            f" against float, the simulated graph {words[1]} ({FIDELITY_MARGIN_DB:g} dB"
            f" are allowed); first module where they part: {module or 'none on its own'}",
            hint=(
                "the runtime miscompiles it: keep that module in float with quant.keep_float in the"
                " target"
            ),
        )
    return fidelity
