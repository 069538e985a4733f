"""The order of the stages that make files, and which of two ways each takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_scnet.compile.forms import check_operators
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.files import remove_files
from edge_scnet.core.manifest import (
    FLOAT_ONNX,
    NODE_DATA,
    PARTIAL_REPORT,
    QDQ_ONNX,
    REPORT,
    REPORT_PAGE,
    Manifest,
    load_manifest,
)
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.model import load
from edge_scnet.pipeline.stages.adopt import adopt
from edge_scnet.pipeline.stages.calibrate import calibrate
from edge_scnet.pipeline.stages.compile import compile_engines
from edge_scnet.pipeline.stages.compile_half import compile_half
from edge_scnet.pipeline.stages.compile_plans import compile_plans
from edge_scnet.pipeline.stages.export import export
from edge_scnet.pipeline.stages.job import STAGES, BuildJob, Stage
from edge_scnet.pipeline.stages.quantize import quantize, quantized_origin
from edge_scnet.pipeline.stages.recover import recover, recovered_origin, reused


def _quantize(job: BuildJob, events: Events) -> BuildFolder:
    """By the project's own quantizer, where asked for with a recovery, or another one's graph."""
    if job.qdq is not None:
        assert job.adopted is not None
        return adopt(job, job.qdq, job.adopted, events)
    if job.recover_minutes is None:
        return quantize(job, events)
    origin = recovered_origin(job, quantized_origin(job))
    if job.folder.is_current(QDQ_ONNX, origin.key):
        return reused(job.folder, events)
    folder = quantize(job, events)
    folder.save()  # an interrupted recovery goes on from this graph
    return recover(replace(job, folder=folder), origin, events)


def _compile(job: BuildJob, events: Events) -> BuildFolder:
    """To engines for this machine, or to plans, which belong to a board or a GPU."""
    if job.target.board is None:
        return compile_engines(job, events)
    return (compile_half if is_half(job) else compile_plans)(job, events)


def is_half(job: BuildJob) -> bool:
    """Whether the target is FP16 alone: nothing is quantized."""
    return job.target.precision == "fp16"


def _export(job: BuildJob, events: Events) -> BuildFolder:
    """As a graph, whose operators the target must know."""
    folder = export(job, events)
    if job.target.board is not None:
        check_operators(load(folder.verified(FLOAT_ONNX)), job.target)
    else:
        job.runtime.check_graph(folder.verified(FLOAT_ONNX))
    return folder


# Each reuses what the hashes say is current, and returns the folder with its files.
STAGE_FUNCTIONS: dict[Stage, Callable[[BuildJob, Events], BuildFolder]] = {
    "export": _export,
    "calibrate": calibrate,
    "quantize": _quantize,
    "compile": _compile,
}


def run_stages(
    job: BuildJob,
    until: Stage,
    events: Events,
    *,
    exported: Callable[[BuildJob], BuildJob] | None = None,
) -> tuple[BuildJob, dict[str, float]]:
    """Runs the stages that make files, up to `until`.

    Args:
        exported: called with the job as soon as its float graph is there, in front of what is made
            of it; what it returns is gone on with, and what it raises ends the build.

    Returns:
        The job with the folder as they left it, and the seconds that each took.
    """
    seconds: dict[str, float] = {}
    # what a report in the folder is of; the job's folder lists only what may still be used
    listed = _listed(job.folder.path)
    for name in STAGES[: STAGES.index(until) + 1]:
        if name not in STAGE_FUNCTIONS or (name == "quantize" and is_half(job)):
            continue  # it measures what the others made, or there is nothing to quantize
        started = time.perf_counter()
        # what an earlier run made of files that have changed since is not part of this build
        folder = STAGE_FUNCTIONS[name](job, events).without_stale()
        if (engines := _engines(folder.manifest)) != listed:
            # the report is of engines that were replaced; what shows it does not stay without it
            files = (*NODE_DATA, REPORT_PAGE, PARTIAL_REPORT, REPORT)
            remove_files(folder.path / file for file in files)
            listed = engines
        folder.save()
        job = replace(job, folder=folder)
        seconds[name] = round(time.perf_counter() - started, 2)
        if name == "export" and exported is not None:
            job = exported(job)
    return job, seconds


def _listed(folder: Path) -> set[str]:
    """The engines that the manifest in a folder lists; none where there is no manifest to read."""
    try:
        return _engines(load_manifest(folder))
    except ArtifactError:
        return set()


def _engines(manifest: Manifest) -> set[str]:
    return {entry.sha256 for entry in manifest.artifacts.values() if entry.stage == "compile"}
