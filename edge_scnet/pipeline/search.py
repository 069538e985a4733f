"""The noise of a build's modules, and the search for the fastest mix of INT8 and float."""

from __future__ import annotations

import glob
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.compile.board import check_board
from edge_scnet.compile.forms import forms_of
from edge_scnet.config.target import Gates, TargetSpec
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES
from edge_scnet.core.optional import install_hint, installed
from edge_scnet.data.batches import load as load_images
from edge_scnet.errors import DataError, TargetError
from edge_scnet.graph.model import load
from edge_scnet.machine import environment
from edge_scnet.machine.isa import is_elsewhere, provided_isa, resolve_floor, weight_bits
from edge_scnet.pipeline.by_workers import pool_for
from edge_scnet.pipeline.search_images import chosen_images, reference_outputs, spread
from edge_scnet.pipeline.search_task import evaluator_of, task_of
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.pipeline.stages.pilot import pilot_images
from edge_scnet.quantizer import recipe
from edge_scnet.quantizer.ranges_file import load_ranges
from edge_scnet.runtimes.base import OpenOptions, Runtime
from edge_scnet.scale.pool import Pool, with_workers
from edge_scnet.sensitivity import search
from edge_scnet.sensitivity.judged import SearchImages, SearchTask
from edge_scnet.sensitivity.measurer import Made, Measurer
from edge_scnet.sensitivity.noise import Sensitivities, images_for_noise
from edge_scnet.sensitivity.picture import draw
from edge_scnet.sensitivity.result import Effort, Limit, SearchResult
from edge_scnet.sensitivity.shared import SharedSimulator, measure_by
from edge_scnet.sensitivity.show import chosen_words
from edge_scnet.sensitivity.simulated import Simulator
from edge_scnet.sensitivity.state import STATE, State, made_of, sensitivities_of
from edge_scnet.stats.figures import AccuracyStats
from edge_scnet.stats.intervals import provable_drop_pp

if TYPE_CHECKING:
    import onnx_ir as ir

# Of the engines of a quick look, behind the noise of the modules: one mix is always measured.
_QUICK = Effort(budget_s=25.0, exchanges=False, least_engines=2)
PICTURE = "pareto.png"


def search_job(
    job: BuildJob,
    *,
    limit: Limit | None,
    budget_s: float | None,
    events: Events,
    keeps: Callable[[Gates, AccuracyStats], bool],
    int8_first: bool = False,
) -> SearchResult:
    """Measures the modules' parts in the noise of a quantized job, and with a limit searches.

    Writes sensitivity.json and, drawn, pareto.png. Off the board of a target the engines are
    simulated: their accuracy is known then, and no times.

    Args:
        limit: what to keep; None: no search.
        budget_s: seconds for the search; None: a quick look for the first mix that keeps the
            limit, on a part of the images.
        keeps: whether figures of a task are within limits.
        int8_first: whether the all-INT8 engine is measured in front of the modules' noise, which
            takes minutes on the processor of a board: where it keeps the limit, that is all.
    """
    assert job.calibration is not None
    judged = job
    if job.runs_here and limit is not None:
        # its workers run engines, too
        judged = replace(job, pool=pool_for(job.runtime.name, job.pool, events))
    state, quick = _state(job, limit, by_workers=judged.pool is not None), budget_s is None
    effort = _QUICK if budget_s is None else Effort(budget_s=budget_s)
    if int8_first:
        events.stage("int8", f"the all-INT8 engine on {len(job.calibration):,} calibration images")
    else:
        events.stage("modules", _noise_words(job))
    images = load_images(job.calibration, job.source.spec, range(len(job.calibration)))
    prepared = recipe.prepare(
        load(job.folder.verified(FLOAT_ONNX)),
        load_ranges(job.folder.verified(RANGES)),
        job.target.quant,
        weight_bits=weight_bits(job.floor),
        images=pilot_images(job),
    )
    known = None if int8_first else _sensitivities(prepared, images, state, job.pool, events)
    if limit is None:
        assert known is not None
        return SearchResult(
            sensitivities=known, candidates=(), chosen=None, seconds=0.0, finished=True
        )
    chosen = chosen_images(job, images, quick=quick)
    state.images = len(chosen)
    with _measurer(judged, prepared, images, chosen, limit, keeps) as measurer:
        result = search.of_int8_alone(measurer, limit, state) if known is None else None
        if known is None and result is None:
            events.done("INT8 alone does not keep the limit", reused=False)
            events.stage("modules", _noise_words(job))
            known = _sensitivities(prepared, images, state, job.pool, events)
        if result is None:
            assert known is not None
            how = "measured" if job.runs_here else "simulated, no time measured,"
            events.stage(
                "search",
                f"engines {how} on {len(chosen):,} calibration images, for at most"
                f" {effort.budget_s:.0f} s",
            )
            result = _searched(measurer, known, limit, state, effort, events)
    state.add_result(result, limit)
    _draw(result, job, limit, events)
    events.done(with_workers(_summary(result), job.pool), reused=False)
    return result


def _noise_words(job: BuildJob) -> str:
    return f"the noise of each module of {job.source.spec.name} alone"


def _searched(
    measurer: Measurer | Simulator | SharedSimulator,
    known: Sensitivities,
    limit: Limit,
    state: State,
    effort: Effort,
    events: Events,
) -> SearchResult:
    """Searches, and tells how much of the time is spent, and of workers what they run meanwhile."""
    began = time.monotonic()
    shared = measurer if isinstance(measurer, SharedSimulator) else None

    def tell(share: float) -> None:
        events.progress("engines", share, shared.images_run if shared else 0, "images")

    if shared:
        # a mix of a large network takes minutes
        shared.told_images = lambda _: tell(min((time.monotonic() - began) / effort.budget_s, 1.0))
    return search.search(
        measurer,
        known,
        limit,
        state,
        effort=effort,
        progress=tell,
    )


def _draw(result: SearchResult, job: BuildJob, limit: Limit, events: Events) -> None:
    """Draws a search that measured more than INT8 alone."""
    if not result.sensitivities.modules:
        return
    if installed("matplotlib"):
        title = f"{job.source.spec.name} for {job.target.name}: mixes of INT8 and float"
        draw(result, job.folder.path / PICTURE, title=title, limit=limit)
    else:
        events.warn(f"{PICTURE} is not drawn: {install_hint('report')}")


def _state(job: BuildJob, limit: Limit | None, *, by_workers: bool) -> State:
    """What earlier searches of this job have measured on this machine.

    Args:
        by_workers: whether they run the engines, of which only times are measured here.
    """
    assert job.calibration is not None
    origin = origin_of(
        "sensitivity",
        job.folder.hashes((FLOAT_ONNX, RANGES)),
        scheme=asdict(job.target.quant),
        weight_bits=weight_bits(job.floor),
        threads=job.target.threads,
        **({"opened_in": job.target.opened_in} if job.target.opened_in != "f32" else {}),
        samples=job.calibration.hash,
        **_limits_of(job, limit),
        **({"built": job.runtime.versions()} if job.target.board is not None else {}),
        machine=environment.collect().fingerprint,
        limit=provided_isa(),
        **({} if job.runs_here else {"simulated": True}),
        # graphs compute in one thread there: the last digits may differ
        **({} if job.pool is None else {"shared": True}),
        **({"engines": "shared"} if by_workers and job.runs_here else {}),
    )
    return State(job.folder.path / STATE, origin.key, of=made_of(job.folder.manifest))


def _limits_of(job: BuildJob, limit: Limit | None) -> dict[str, Any]:
    """What decides whether an engine is within its limits; of classes the search looks at that."""
    task = task_of(job)
    if task is None:
        return {}
    return {"task": asdict(task), "gates": asdict(_gates(job, limit))}


def _sensitivities(
    prepared: recipe.Prepared,
    images: np.ndarray,
    state: State,
    pool: Pool | None,
    events: Events,
) -> Sensitivities:
    """Each module's part in the noise, from the state where it is known."""
    reused = state.sensitivities is not None
    some = images[spread(len(images), images_for_noise(prepared.model, len(images)))]
    if pool is not None and not reused:
        state.add_sensitivities(measure_by(pool, prepared, some))
    sensitivities = sensitivities_of(
        prepared, some, state, progress=lambda share: events.progress("noise", share)
    )
    in_db = -10 * np.log10(sensitivities.noise or 1e-30)
    words = f"{len(sensitivities.modules)} modules; {in_db:.1f} dB all in INT8"
    events.done(with_workers(words, pool), reused=reused)
    return sensitivities


def _measurer(
    job: BuildJob,
    prepared: recipe.Prepared,
    images: np.ndarray,
    chosen: np.ndarray,
    limit: Limit,
    keeps: Callable[[Gates, AccuracyStats], bool],
) -> Measurer | Simulator | SharedSimulator:
    """Measures engines on some of the calibration images, or simulates them off their board.

    Args:
        job: its pool is of workers that may run the engines; their times are measured here.

    Raises:
        DataError: the images cannot show that the limit is kept.
    """
    assert job.calibration is not None
    batch, labels = job.target.batch, job.calibration.labels
    kind = task_of(job)
    if kind is None:
        check_provable(len(chosen), limit)
    images = images[chosen]
    data = SearchImages(
        images=images,
        labels=None if labels is None else np.array(labels)[chosen],
        reference=reference_outputs(job.folder.verified(FLOAT_ONNX), images, batch, job.pool),
        task=None
        if kind is None
        else SearchTask(
            evaluator=evaluator_of(job, kind, chosen.tolist()),
            keeps=partial(keeps, _gates(job, limit)),
        ),
    )
    if not job.runs_here:
        if job.pool is not None:
            return SharedSimulator(prepared, data, job.pool)
        return Simulator(prepared, data)
    made = Made(
        runtime=job.runtime,
        target=job.target,
        # what is not INT8 runs as in the engine that `build` judges
        options=OpenOptions(precision=job.target.opened_in, threads=job.target.threads),
        form=_form_of(job),
    )
    return Measurer(prepared, data, made, pool=job.pool)


def _form_of(job: BuildJob) -> Callable[[ir.Model], ir.Model] | None:
    """Writes a Q/DQ graph as TensorRT reads it; None: the runtime reads it as it is."""
    if job.target.board is None:
        return None
    float_model = load(job.folder.verified(FLOAT_ONNX))
    ranges = load_ranges(job.folder.verified(RANGES))
    return lambda qdq: forms_of(float_model.clone(), qdq, ranges, job.target).int8


def check_measurable(target: TargetSpec, runtime: Runtime) -> None:
    """Refuses a search whose engines are built here and cannot be measured.

    Raises:
        TargetError: it is another board than the target's, or its runtime cannot run plans here.
        MissingRuntimeError, StorageError: as `check_board`.
    """
    if not runtime.builds_here() or is_elsewhere(resolve_floor(target.isa)):
        return  # off the board its engines are simulated
    if runtime.packs_bundle:
        check_board(target)
    if reason := runtime.unavailable_to_run():
        raise TargetError(
            f"a search measures engines, and {target.name}'s cannot run here: {reason}",
            hint="without a limit the noise of the modules is told: leave --gain, --min-sqnr,"
            " --max-drop and --search out",
        )


def _gates(job: BuildJob, limit: Limit | None) -> Gates:
    """The target's limits, with that of the search for the drop."""
    gates = job.target.gates
    if limit is None or limit.max_drop_pp is None:
        return gates
    return replace(gates, max_drop_pp=limit.max_drop_pp)


def images_needed(images: int, max_drop_pp: float) -> int | None:
    """How many images show that a drop is kept; None: so many do; 0: no number does.

    Args:
        images: that are there.
        max_drop_pp: the limit, in percentage points.
    """
    if provable_drop_pp(images) <= max_drop_pp:
        return None
    if max_drop_pp <= 0:
        return 0
    # what is left possible falls slower than 1 / images: the next number is never too large
    while (provable := provable_drop_pp(images)) > max_drop_pp:
        images = max(math.ceil(images * provable / max_drop_pp), images + 1)
    return images


def check_provable(images: int, limit: Limit) -> None:
    """Refuses a limit that so many images cannot show to be kept, even where no class changes.

    Raises:
        DataError: names how many are needed.
    """
    if limit.max_drop_pp is None:
        return
    count = images_needed(images, limit.max_drop_pp)
    if count is not None:
        needed = f"{count:,}" if count else "no number is enough for 0"
        raise DataError(
            f"{images:,} calibration images show a drop of at most"
            f" {provable_drop_pp(images):.2f} pp where no class changes: a search cannot prove"
            f" {limit.max_drop_pp:g} pp with them; needed: {needed}",
            hint=(
                "give more images, and where the target's quant.samples is lower raise it; or limit"
                " the SQNR: edge-scnet sensitivity MODEL --gain 3, with the options of the build"
            ),
        )


def check_told(job: BuildJob, limit: Limit) -> None:
    """Refuses a search of an exported job that its calibration images cannot prove.

    Raises:
        DataError: as `check_provable`.
    """
    if job.calibration is not None and task_of(job) is None:
        check_provable(len(job.calibration), limit)


def with_float(target: TargetSpec, names: Sequence[str]) -> TargetSpec:
    """The target with these modules left in float."""
    kept = (*target.quant.keep_float, *(glob.escape(name) for name in names))
    return replace(target, quant=replace(target.quant, keep_float=kept))


def mix_to_build(result: SearchResult) -> tuple[str, ...]:
    """The modules that a search leaves in float; empty where it makes no other INT8 engine."""
    if result.chosen is None or is_all_float(result):
        return ()
    return result.chosen.keep_float


def of_mix(job: BuildJob, names: Sequence[str], events: Events) -> BuildJob:
    """The job that builds the mix of a search: these modules stay in float."""
    events.warn(f"{len(names)} modules stay in float to keep the limit: {', '.join(names)}")
    target = with_float(job.target, names)
    manifest = replace(job.folder.manifest, target=asdict(target))
    return replace(job, target=target, folder=replace(job.folder, manifest=manifest))


def is_all_float(result: SearchResult) -> bool:
    """Whether the mix of a search has every module in float: then it is no INT8 engine."""
    chosen, modules = result.chosen, result.sensitivities.modules
    return chosen is not None and bool(modules) and len(chosen.keep_float) >= len(modules)


def _summary(result: SearchResult) -> str:
    """What a search came to, in one line."""
    measured = f"{len(result.candidates)} engines{' simulated' if result.simulated else ''}"
    if result.chosen is None:
        return f"{measured}; none keeps the limit" + (
            "" if result.finished else " so far: the time is up"
        )
    end = "" if result.finished else "; the time is up: the best so far"
    return f"{measured}; chosen: {chosen_words(result)}{end}"
