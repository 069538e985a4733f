"""The proof that an engine is what was asked for.

The engine computes what its graph says, by the simulated Q/DQ graph here or by the reference
outputs that travel with a bundle. What of it executes in INT8 is `compile.executed`'s question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_scnet.compile.parting import first_parting_module
from edge_scnet.compile.quality import (
    OutputQuality,
    all_finite,
    allowed_to_differ,
    falls_short,
    fidelity_of,
    hidden_parts_db,
    joined,
    least_db,
    margin_db,
    qualities_of,
    with_noise_of,
    worst_output,
)
from edge_scnet.compile.reference import Reference
from edge_scnet.core.facts import Fidelity
from edge_scnet.errors import ArtifactError, ParityError, first_line
from edge_scnet.graph.averages import with_rounded_averages
from edge_scnet.graph.counting import are_counted, without
from edge_scnet.graph.model import batch_of, load
from edge_scnet.graph.run import run_onnx
from edge_scnet.runtimes.base import OpenOptions, Runtime, Session
from edge_scnet.stats.decibels import comparable, decibels

if TYPE_CHECKING:
    import onnx_ir as ir

# FP16's rounding leaves 35 dB and more even of SCNet-50 with random weights, which makes the most
# of any error; a layer that overflows or is computed wrongly leaves less than 10.
FP16_MIN_DB = 25.0
# Of the part of an output that another part hides; it has fewer elements than the whole.
_HIDDEN_MARGIN_DB = 4.0
# What is not INT8 in a plan is FP16: where the simulation is better than this, FP16 may not be.
FP16_EXACT_DB = 35.0

# The outputs of the float graph and of the simulated one, by batch.
_RunsOfGraphs = tuple[Sequence[Sequence[np.ndarray]], Sequence[Sequence[np.ndarray]]]

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealImages:
    """Real images as graphs take them, and as an engine does."""

    # preprocessed, N x C x H x W float32
    prepared: np.ndarray
    # the same in the form of an engine that takes bytes; None: it takes what graphs take
    taken: np.ndarray | None = None

    def batches(self, batch: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Whole batches for the graphs and for the engine, from the start again where they are
        fewer than one.
        """
        taken = self.prepared if self.taken is None else self.taken
        count = max(len(taken) // batch, 1) * batch
        rows = [np.arange(i, i + batch) % len(taken) for i in range(0, count, batch)]
        return [self.prepared[row] for row in rows], [taken[row] for row in rows]


def check_fidelity(
    runtime: Runtime,
    engine: Path,
    *,
    float_model: Path,
    qdq_model: Path,
    images: RealImages,
    options: OpenOptions,
) -> Fidelity | None:
    """Compares an engine with the simulated Q/DQ graph, both against the float graph.

    Outputs whose size depends on the data are left out; None: there are no others. The graphs run
    in ONNX Runtime with its optimisations off. Where a runtime may round averages of codes, the
    simulation that rounds all of them counts too.

    Raises:
        ParityError: SQNR(engine, float) is below SQNR(simulation, float) by more than 2 dB and what
            few elements may vary by (`margin_db`); names the first module where they part.
    """
    qdq = load(qdq_model)
    counted = are_counted(qdq.graph)
    if all(counted):
        return None
    batch = batch_of(qdq)
    batches, taken = images.batches(batch)
    runs = (
        _sized(counted, run_onnx(float_model, batches)),
        _sized(counted, run_onnx(qdq_model, batches)),
    )
    with runtime.open(engine, options) as session:
        runs_of_engine = _sized(counted, _runs(session, taken))
    _check_finite(joined(runs[0]), joined(runs_of_engine), "the compiled engine")
    _check_finite(joined(runs[0]), joined(runs[1]), qdq_model.name)
    found = _compare(runs, runs_of_engine)
    if found.falls_short and runtime.rounds_averages:
        rounded = with_rounded_averages(qdq)
        if rounded is not None:
            runs = runs[0], _sized(counted, run_onnx(rounded, batches))
            found = _compare(runs, runs_of_engine)
    if found.falls_short:
        module = first_parting_module(runtime, qdq, batches[: max(1, 8 // batch)], options)
        outputs = without(counted, qdq.graph.outputs)
        of_output = f"output {outputs[found.index].name}: " if len(outputs) > 1 else ""
        raise ParityError(
            f"the compiled engine does not compute what {qdq_model.name} says:"
            f" {of_output}{_compared(found.engine, found.simulation)}; first module where they"
            f" part: {module or 'none on its own'}",
            hint=(
                "the runtime miscompiles it: keep that module in float with quant.keep_float in the"
                " target"
            ),
        )
    _check_hidden_parts(qdq, runs, runs_of_engine)
    return fidelity_of(found.engine, found.simulation, images=batch * len(batches))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worst:
    """The output that is nearest to falling short, or does."""

    index: int
    engine: OutputQuality
    simulation: OutputQuality
    falls_short: bool


def _compare(runs: _RunsOfGraphs, runs_of_engine: Sequence[Sequence[np.ndarray]]) -> _Worst:
    """Compares an engine with the simulation of its graph, both against the float graph."""
    reference, simulated, computed = map(joined, (*runs, runs_of_engine))
    qualities = qualities_of(reference, computed)
    simulation = qualities_of(reference, simulated)
    least = [least_db(quality) for quality in simulation]
    worst = worst_output(qualities, simulation, least)
    return _Worst(
        index=worst,
        engine=qualities[worst],
        simulation=simulation[worst],
        falls_short=falls_short(qualities[worst], simulation[worst], least[worst]),
    )


def _check_hidden_parts(
    qdq: ir.Model,
    runs: _RunsOfGraphs,
    runs_of_engine: Sequence[Sequence[np.ndarray]],
) -> None:
    """Refuses an engine that is wrong in a part of an output that another part hides.

    Args:
        runs: the outputs of the float graph and of the simulated one, by batch.

    Raises:
        ParityError: names the output.
    """
    hidden = hidden_parts_db(*runs), hidden_parts_db(runs[0], runs_of_engine)
    outputs = without(are_counted(qdq.graph), qdq.graph.outputs)
    for value, simulated, computed in zip(outputs, *hidden, strict=True):
        if comparable(computed) < comparable(simulated) - _HIDDEN_MARGIN_DB:
            raise ParityError(
                f"the compiled engine does not compute what the Q/DQ graph says: the small numbers"
                f" in output {value.name} have {decibels(computed)} against float, the simulated"
                f" graph's {decibels(simulated)} ({_HIDDEN_MARGIN_DB:g} dB are allowed)",
                hint="the runtime miscompiles it: keep the last layers in float with"
                " quant.keep_float in the target",
            )


def _compared(engine: OutputQuality, simulation: OutputQuality) -> str:
    """How far an output is from the float graph's, and how far it may be, in words."""
    if engine.resized or simulation.resized:
        return (
            "its size depends on the data, and is another in INT8: it cannot be proven; export the"
            " model without what makes it, as NonMaxSuppression"
        )
    if engine.differing > allowed_to_differ(simulation):
        return (
            f"{engine.differing:,} of {engine.elements:,} values are others than in float, of the"
            f" simulated graph {simulation.differing:,}"
        )
    if not engine.signal:
        return f"up to {engine.largest:.3g} where float is 0 throughout"
    return (
        f"{decibels(engine.db, exact='identical')} against float, the simulated graph"
        f" {decibels(simulation.db, exact='identical')} ({margin_db(engine.elements):.3g} dB are"
        " allowed)"
    )


def _check_finite(
    reference: Sequence[np.ndarray], outputs: Sequence[np.ndarray], what: str
) -> None:
    """Refuses outputs that are not finite where the float graph's are.

    Raises:
        ParityError: NaN or infinity.
    """
    own = [
        output for wanted, output in zip(reference, outputs, strict=True) if all_finite([wanted])
    ]
    if not all_finite(own):
        raise ParityError(
            f"{what} gives NaN or infinity on real images",
            hint="look at its ranges: are the images right?",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProof:
    """How a plan compares with the reference outputs."""

    # The worst output's; the simulation's for INT8 alone. None: the size of each output depends on
    # the data.
    fidelity: Fidelity | None
    # By output.
    qualities: tuple[OutputQuality, ...] = ()


def check_plan(
    runtime: Runtime,
    plan: Path,
    reference: Reference,
    *,
    precision: Literal["int8", "fp16"],
    half: Sequence[OutputQuality] = (),
) -> PlanProof:
    """Compares a plan with the reference outputs that travel with its bundle.

    Args:
        half: of an INT8 plan, its FP16 twin's qualities. What is not INT8 in it is FP16, while the
            simulation computes it in FP32: the noise of both adds up.

    Raises:
        ArtifactError: the reference is of another plan.
        ParityError: an output is not finite, INT8's is more than 2 dB below the simulation's, or
            FP16's below 25 dB.
        BackendError: the plan cannot be loaded or run.
    """
    hint, images = _PLAN_HINTS[precision], reference.images
    computed = _outputs_of_plan(runtime, plan, reference)
    outputs = [output.reshape(-1) for output in reference.outputs]
    if not outputs:
        return PlanProof(fidelity=None)
    try:
        _check_finite(outputs, computed, plan.name)
    except ParityError as error:
        raise ParityError(error.message, hint=hint) from None
    qualities, simulation = qualities_of(outputs, computed), reference.simulation
    if half:
        simulation = tuple(with_noise_of(*pair) for pair in zip(simulation, half, strict=True))
    least = [
        least_db(quality, enough_db=FP16_EXACT_DB) if precision == "int8" else FP16_MIN_DB
        for quality in simulation
    ]
    worst = worst_output(qualities, simulation, least)
    if falls_short(qualities[worst], simulation[worst], least[worst]):
        simulated = "simulated, with the FP16 plan's noise" if half else "simulated"
        rule = simulated if precision == "int8" else None
        raise ParityError(
            f"{plan.name} does not compute what the float graph does:"
            f" {_plan_compared(qualities[worst], simulation[worst], rule, len(images))}",
            hint=hint,
        )
    fidelity = fidelity_of(
        qualities[worst],
        reference.simulation[worst],
        images=len(images),
        simulated=precision == "int8",
    )
    return PlanProof(fidelity=fidelity, qualities=qualities)


def _outputs_of_plan(runtime: Runtime, plan: Path, reference: Reference) -> list[np.ndarray]:
    """What a plan gives for the reference's images: a flat array for each output.

    Raises:
        ArtifactError: the images or the outputs are of another plan: the file may come from
            anybody.
        BackendError: it cannot be loaded or run.
    """
    images, hint = reference.images, "build the bundle again: edge-scnet build"
    with runtime.open(plan, OpenOptions()) as session:
        batch = session.input_shape[0]
        if len(images) % batch:
            raise ArtifactError(
                f"{plan.name} takes {batch} images at once, the reference has {len(images)}",
                hint=hint,
            )
        try:
            runs = _runs(session, np.split(images, len(images) // batch))
            computed = joined([reference.of(outputs) for outputs in runs])
        except (ValueError, LookupError, TypeError) as error:
            raise ArtifactError(
                f"{plan.name} cannot be fed with the reference of its bundle: {first_line(error)}",
                hint=hint,
            ) from error
    sizes = [output.size for output in computed]
    if sizes != (wanted := [output.size for output in reference.outputs]):
        raise ArtifactError(
            f"{plan.name} has other outputs than the reference: {sizes} and {wanted} values",
            hint=hint,
        )
    return computed


def _plan_compared(
    engine: OutputQuality, simulation: OutputQuality, simulated: str | None, images: int
) -> str:
    """How far a plan's output is from the float graph's, and how far it may be, in words.

    Args:
        simulated: what the simulation is called; None: it sets no limit.
    """
    if engine.db is None or engine.differing > allowed_to_differ(simulation):
        return _compared(engine, simulation)
    allowed = (
        f"{simulated}: {decibels(simulation.db, exact='identical', unit='')};"
        f" {margin_db(engine.elements):.3g} less are allowed"
        if simulated
        else f"{FP16_MIN_DB:g} are the least that FP16 leaves"
    )
    return f"{decibels(engine.db)} on {images} images ({allowed})"


def _runs(session: Session, batches: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """The outputs of an engine, by batch."""
    return [[np.array(output) for output in session.infer(batch)] for batch in batches]


def _sized(counted: Sequence[bool], runs: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
    """Runs without the outputs whose size depends on the data."""
    return [without(counted, outputs) for outputs in runs]
