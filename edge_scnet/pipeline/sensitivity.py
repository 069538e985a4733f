"""Sensitivity and mixed precision of a build: its files and images in, measured engines out
(`search.py`).
"""

from __future__ import annotations

import glob
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import TargetSpec
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES
from edge_scnet.core.optional import installed
from edge_scnet.data.batches import load
from edge_scnet.errors import DataError
from edge_scnet.graph.model import load as load_graph
from edge_scnet.graph.run import run_onnx
from edge_scnet.machine import environment
from edge_scnet.machine.isa import provided_isa, weight_bits
from edge_scnet.models import zoo
from edge_scnet.pipeline.request import Request, make_job
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob, pilot_images
from edge_scnet.pipeline.stages.run import run_stages
from edge_scnet.quantize import recipe
from edge_scnet.quantize.ranges_file import load_ranges
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.sensitivity import search
from edge_scnet.sensitivity.measurer import Measurer
from edge_scnet.sensitivity.result import Limit, SearchResult
from edge_scnet.sensitivity.show import draw
from edge_scnet.sensitivity.state import State, sensitivities_of
from edge_scnet.stats.decibels import decibels
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, paired_difference_interval

STATE, PICTURE = "sensitivity.json", "pareto.png"
# For the parts in the noise; the limit is judged on all images.
_NOISE_IMAGES = 64


def run(job: BuildJob, *, limit: Limit | None, budget_s: float, events: Events) -> SearchResult:
    """Measures the modules' parts in the noise, and with a limit searches; writes sensitivity.json
    and, drawn, pareto.png.
    """
    samples, target = job.calibration, job.target
    assert samples is not None
    bits = weight_bits(job.floor)
    events.stage("modules", f"the noise of each module of {job.source.spec.name} alone")
    origin = origin_of(
        "sensitivity",
        job.folder.hashes((FLOAT_ONNX, RANGES)),
        scheme=asdict(target.quant),
        weight_bits=bits,
        threads=target.threads,
        samples=samples.hash,
        machine=environment.collect().fingerprint,
        limit=provided_isa(),
    )
    state = State(job.folder.path / STATE, origin.key)
    images = load(samples, job.source.spec, range(len(samples)))
    prepared = recipe.prepare(
        load_graph(job.folder.path / FLOAT_ONNX),
        load_ranges(job.folder.path / RANGES),
        target.quant,
        weight_bits=bits,
        images=pilot_images(job),
    )
    reused = state.sensitivities is not None
    spread = np.linspace(0, len(images) - 1, min(_NOISE_IMAGES, len(images))).astype(int)
    modules = sensitivities_of(
        prepared, images[spread], state, progress=lambda share: events.progress("noise", share)
    )
    events.done(
        f"{len(modules.modules)} modules; {-10 * np.log10(modules.noise or 1e-30):.1f} dB all in"
        " INT8",
        reused=reused,
    )
    if limit is None:
        return SearchResult(
            sensitivities=modules, candidates=(), chosen=None, seconds=0.0, finished=True
        )
    events.stage(
        "search",
        f"engines measured on {len(images):,} calibration images, for at most {budget_s:.0f} s",
    )
    batch = target.batch
    images = images[: max(len(images) // batch, 1) * batch]
    reference = np.concatenate(
        [
            run[0]
            for run in run_onnx(
                job.folder.path / FLOAT_ONNX,
                [images[i : i + batch] for i in range(0, len(images), batch)],
            )
        ]
    )
    labels = None if samples.labels is None else np.array(samples.labels)[: len(images)]
    # what is not INT8 runs in FP32, as in the engine that `build` judges
    options = OpenOptions(precision="f32", threads=target.threads)
    with Measurer(
        prepared,
        runtime=job.runtime,
        target=target,
        options=options,
        images=images,
        labels=labels,
        reference=reference,
    ) as measurer:
        result = search.search(
            measurer,
            modules,
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
    events.done(_words(result), reused=False)
    return result


def check_provable(images: int, limit: Limit) -> None:
    """Refuses a limit of the drop that so many images cannot show to be kept, even where no class
    changes.

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


def _words(result: SearchResult) -> str:
    measured = f"{len(result.candidates)} engines"
    if result.chosen is None:
        return f"{measured}; none keeps the limit" + (
            "" if result.finished else " so far: the time is up"
        )
    chosen = result.chosen
    quality = decibels(chosen.sqnr_db)
    end = "" if result.finished else "; the time is up: the best so far"
    return (
        f"{measured}; chosen: {len(chosen.keep_float)} in float, {quality}, {chosen.time_ratio:.3f}"
        f" x all-INT8's time{end}"
    )


def sensitivity(
    model: str = zoo.DEFAULT_MODEL,
    *,
    target: str = "cpu",
    calib: Path | str | None = None,
    out: Path | str | None = None,
    model_options: ModelOptions | None = None,
    limit: Limit | None = None,
    budget_seconds: float = 300.0,
    skip_bad: bool = False,
    events: Events | None = None,
) -> SearchResult:
    """Measures which modules cost accuracy, and with a limit searches the fastest mix of INT8 and
    float that keeps it.

    Args:
        calib: images to calibrate and to measure with; their labels are used where they have any.
        limit: what to keep; None: no search.
        budget_seconds: time for the search; what was measured is kept, and a later call goes on
            from there.

    Raises:
        EdgeError: see errors.py.
    """
    events = events or Silent()
    request = Request(
        model=model,
        target=target,
        calib=Path(calib) if calib else None,
        evaluation=None,
        out=Path(out or "build"),
        options=model_options or ModelOptions(),
        batch=None,
        skip_bad=skip_bad,
        ignore_labels=False,
        until="quantize",
    )
    job = make_job(request, events)
    if limit is not None and job.calibration is not None:
        check_provable(len(job.calibration), limit)
    job, _ = run_stages(job, "quantize", events)
    return run(job, limit=limit, budget_s=budget_seconds, events=events)
