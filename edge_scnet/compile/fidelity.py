"""The proof that an engine is what was asked for.

The engine computes what its graph says, by the simulated Q/DQ graph here or by the reference
outputs that travel with a bundle. What of it executes in INT8 is `compile.executed`'s question.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from edge_scnet.compile.parting import first_parting_module
from edge_scnet.compile.quality import (
    FIDELITY_MARGIN_DB,
    all_finite,
    falls_short,
    joined,
    least_allowed,
    sqnr_by_output,
    worst_output,
)
from edge_scnet.compile.reference import Reference
from edge_scnet.core.facts import Fidelity
from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.graph.model import batch_of, load
from edge_scnet.graph.run import run_onnx
from edge_scnet.runtimes.base import OpenOptions, Runtime, Session
from edge_scnet.stats.decibels import decibels

# FP16's rounding leaves 35 dB and more even of SCNet-50 with random weights, which makes the most
# of any error; a layer that overflows or is computed wrongly leaves less than 10.
FP16_MIN_DB = 25.0

_PLAN_HINTS = {
    "int8": (
        "this TensorRT computes a layer wrongly: keep modules in FP16 with quant.keep_float in the"
        " target to find it"
    ),
    "fp16": (
        "a layer overflows FP16 or is computed wrongly: the log of the build has TensorRT's"
        " warnings"
    ),
}


def check_fidelity(
    runtime: Runtime,
    engine: Path,
    *,
    float_model: Path,
    qdq_model: Path,
    images: np.ndarray,
    options: OpenOptions,
) -> Fidelity:
    """Compares an engine with the simulated Q/DQ graph, both against the float graph.

    The graphs run in ONNX Runtime with its optimisations off.

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
    reference = joined(run_onnx(float_model, batches))
    simulated = joined(run_onnx(qdq_model, batches))
    with runtime.open(engine, options) as session:
        computed = _outputs(session, batches)
    for what, outputs in (("the compiled engine", computed), (qdq_model.name, simulated)):
        if not all_finite(outputs):
            raise ParityError(
                f"{what} gives NaN or infinity on real images",
                hint="look at its ranges: are the images right?",
            )
    engine_db = sqnr_by_output(reference, computed)
    simulation_db = sqnr_by_output(reference, simulated)
    least = [least_allowed(quality) for quality in simulation_db]
    worst = worst_output(engine_db, least)
    if falls_short(engine_db[worst], least[worst]):
        module = first_parting_module(runtime, qdq, batches[: max(1, 8 // batch)], options)
        raise ParityError(
            f"the compiled engine does not compute what {qdq_model.name} says:"
            f" {decibels(engine_db[worst], exact='identical')} against float, the simulated graph"
            f" {decibels(simulation_db[worst], exact='identical')} ({FIDELITY_MARGIN_DB:g} dB are"
            f" allowed); first module where they part: {module or 'none on its own'}",
            hint=(
                "the runtime miscompiles it: keep that module in float with quant.keep_float in the"
                " target"
            ),
        )
    return Fidelity(engine_db=engine_db[worst], simulation_db=simulation_db[worst], images=count)


def check_plan(
    runtime: Runtime, plan: Path, reference: Reference, *, precision: Literal["int8", "fp16"]
) -> Fidelity:
    """Compares a plan with the reference outputs that travel with its bundle.

    Returns:
        The worst output's SQNR; the simulation's for INT8 alone.

    Raises:
        ParityError: an output is not finite, INT8's is more than 2 dB below the simulation's, or
            FP16's below 25 dB.
        BackendError: the plan cannot be loaded or run.
    """
    hint, images = _PLAN_HINTS[precision], reference.images
    with runtime.open(plan, OpenOptions()) as session:
        batch = session.input_shape[0]
        if len(images) % batch:
            raise ArtifactError(
                f"{plan.name} takes {batch} images at once, the reference has {len(images)}",
                hint="build it again",
            )
        batches = np.split(images, len(images) // batch)
        computed = _outputs(session, batches)
    if not all_finite(computed):
        raise ParityError(f"{plan.name} gives NaN or infinity on real images", hint=hint)
    engine_db = sqnr_by_output([output.reshape(-1) for output in reference.outputs], computed)
    least = [
        least_allowed(quality) if precision == "int8" else FP16_MIN_DB
        for quality in reference.simulation_db
    ]
    worst = worst_output(engine_db, least)
    simulation_db = reference.simulation_db[worst]
    if falls_short(engine_db[worst], least[worst]):
        allowed = (
            f"simulated: {decibels(simulation_db, exact='identical', unit='')};"
            f" {FIDELITY_MARGIN_DB:g} less are allowed"
            if precision == "int8"
            else f"{FP16_MIN_DB:g} are the least that FP16 leaves"
        )
        raise ParityError(
            f"{plan.name} does not compute what the float graph does:"
            f" {decibels(engine_db[worst])} on {len(images)} images ({allowed})",
            hint=hint,
        )
    return Fidelity(
        engine_db=engine_db[worst],
        simulation_db=simulation_db if precision == "int8" else None,
        images=len(images),
    )


def _outputs(session: Session, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Runs an engine: one flat array for each output."""
    return joined([[np.array(output) for output in session.infer(batch)] for batch in batches])
