"""The noise of a build's modules, and the search for the fastest mix of INT8 and float."""

from __future__ import annotations

import glob
import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from edge_scnet.config.target import TargetSpec
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES
from edge_scnet.core.optional import installed
from edge_scnet.data.batches import load as load_images
from edge_scnet.errors import DataError
from edge_scnet.graph.model import load
from edge_scnet.graph.run import joined, run_onnx
from edge_scnet.machine import environment
from edge_scnet.machine.isa import provided_isa, weight_bits
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.pipeline.stages.pilot import pilot_images
from edge_scnet.quantizer import recipe
from edge_scnet.quantizer.ranges_file import load_ranges
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.sensitivity import search
from edge_scnet.sensitivity.measurer import Measurer, SearchImages
from edge_scnet.sensitivity.noise import Sensitivities
from edge_scnet.sensitivity.result import Limit, SearchResult
from edge_scnet.sensitivity.show import draw
from edge_scnet.sensitivity.state import State, sensitivities_of
from edge_scnet.stats.decibels import decibels
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, paired_difference_interval

STATE, PICTURE = "sensitivity.json", "pareto.png"
# For the parts in the noise; the limit is judged on all images.
_NOISE_IMAGES = 64


def search_job(
    job: BuildJob, *, limit: Limit | None, budget_s: float, events: Events
) -> SearchResult:
    """Measures the modules' parts in the noise of a quantized job, and with a limit searches.

    Writes sensitivity.json and, drawn, pareto.png.

    Args:
        limit: what to keep; None: no search.
        budget_s: seconds for the search.
    """
    assert job.calibration is not None
    events.stage("modules", f"the noise of each module of {job.source.spec.name} alone")
    state = _state(job)
    images = load_images(job.calibration, job.source.spec, range(len(job.calibration)))
    prepared = recipe.prepare(
        load(job.folder.path / FLOAT_ONNX),
        load_ranges(job.folder.path / RANGES),
        job.target.quant,
        weight_bits=weight_bits(job.floor),
        images=pilot_images(job),
    )
    sensitivities = _sensitivities(prepared, images, state, events)
    if limit is None:
        return SearchResult(
            sensitivities=sensitivities, candidates=(), chosen=None, seconds=0.0, finished=True
        )
    events.stage(
        "search",
        f"engines measured on {len(images):,} calibration images, for at most {budget_s:.0f} s",
    )
    with _measurer(job, prepared, images) as measurer:
        result = search.search(
            measurer,
            sensitivities,
            limit,
            state,
            budget_s=budget_s,
            progress=lambda share: events.progress("engines", share),
        )
    state.add_result(result, limit)
    if installed("matplotlib"):
        draw(result, job.folder.path / PICTURE)
    else:
        events.warn(f"{PICTURE} is not drawn: pip install 'edge-scnet[report]'")
    events.done(_summary(result), reused=False)
    return result


def _state(job: BuildJob) -> State:
    """What earlier searches of this job have measured on this machine."""
    assert job.calibration is not None
    origin = origin_of(
        "sensitivity",
        job.folder.hashes((FLOAT_ONNX, RANGES)),
        scheme=asdict(job.target.quant),
        weight_bits=weight_bits(job.floor),
        threads=job.target.threads,
        samples=job.calibration.hash,
        machine=environment.collect().fingerprint,
        limit=provided_isa(),
    )
    return State(job.folder.path / STATE, origin.key)


def _sensitivities(
    prepared: recipe.Prepared, images: np.ndarray, state: State, events: Events
) -> Sensitivities:
    """Each module's part in the noise, from the state where it is known."""
    reused = state.sensitivities is not None
    spread = np.linspace(0, len(images) - 1, min(_NOISE_IMAGES, len(images))).astype(int)
    sensitivities = sensitivities_of(
        prepared, images[spread], state, progress=lambda share: events.progress("noise", share)
    )
    in_db = -10 * np.log10(sensitivities.noise or 1e-30)
    events.done(f"{len(sensitivities.modules)} modules; {in_db:.1f} dB all in INT8", reused=reused)
    return sensitivities


def _measurer(job: BuildJob, prepared: recipe.Prepared, images: np.ndarray) -> Measurer:
    """Measures engines on whole batches of the calibration images."""
    assert job.calibration is not None
    batch, labels = job.target.batch, job.calibration.labels
    images = images[: max(len(images) // batch, 1) * batch]
    batches = [images[i : i + batch] for i in range(0, len(images), batch)]
    return Measurer(
        prepared,
        SearchImages(
            images=images,
            labels=None if labels is None else np.array(labels)[: len(images)],
            reference=joined(run_onnx(job.folder.path / FLOAT_ONNX, batches))[0],
        ),
        runtime=job.runtime,
        target=job.target,
        # what is not INT8 runs in FP32, as in the engine that `build` judges
        options=OpenOptions(precision="f32", threads=job.target.threads),
    )


def check_provable(images: int, limit: Limit) -> None:
    """Refuses a limit that so many images cannot show to be kept, even where no class changes.

    Raises:
        DataError: names how many are needed.
    """
    if limit.max_drop_pp is None:
        return
    provable = 100.0 * paired_difference_interval(0, 0, images, z=Z_ONE_SIDED_95)[1]
    if provable > limit.max_drop_pp:
        needed = (
            f"about {math.ceil(images * provable / limit.max_drop_pp):,}"
            if limit.max_drop_pp
            else "no number is enough for 0"
        )
        raise DataError(
            f"{images:,} calibration images show a drop of at most {provable:.2f} pp where no class"
            f" changes: a search cannot prove {limit.max_drop_pp:g} pp with them; needed: {needed}",
            hint=(
                "raise quant.samples in the target and give more images, or limit the SQNR:"
                " edge-scnet sensitivity --gain 3"
            ),
        )


def with_float(target: TargetSpec, names: Sequence[str]) -> TargetSpec:
    """The target with these modules left in float."""
    kept = (*target.quant.keep_float, *(glob.escape(name) for name in names))
    return replace(target, quant=replace(target.quant, keep_float=kept))


def _summary(result: SearchResult) -> str:
    """What a search came to, in one line."""
    measured = f"{len(result.candidates)} engines"
    if result.chosen is None:
        return f"{measured}; none keeps the limit" + (
            "" if result.finished else " so far: the time is up"
        )
    chosen = result.chosen
    end = "" if result.finished else "; the time is up: the best so far"
    return (
        f"{measured}; chosen: {len(chosen.keep_float)} in float, {decibels(chosen.sqnr_db)},"
        f" {chosen.time_ratio:.3f} x all-INT8's time{end}"
    )
