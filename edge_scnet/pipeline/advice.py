"""Where INT8 misses its limit: the few modules that cost it, and what float costs there."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from edge_scnet.config.target import Gates, with_max_drop
from edge_scnet.core.events import Events
from edge_scnet.errors import EdgeError
from edge_scnet.pipeline import search
from edge_scnet.pipeline.judging import keeps_limits
from edge_scnet.pipeline.module_noise import with_noise
from edge_scnet.pipeline.request import Request
from edge_scnet.pipeline.result import BuildResult, result_of, save_run
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.report.mixed import FloatModule, MixedPrecision
from edge_scnet.report.run_report import RunReport, accuracy_row
from edge_scnet.report.task_verdict import has_limits
from edge_scnet.sensitivity.result import Candidate, Limit, SearchResult
from edge_scnet.stats.decibels import comparable
from edge_scnet.stats.figures import AccuracyStats
from edge_scnet.stats.intervals import provable_drop_pp

# What the command that does it gives the search.
_SEARCH_S = 120
# How much of SQNR is looked for where classes are lost, in dB.
_LEAST_GAIN_DB, _MOST_GAIN_DB = 3.0, 12.0


def advised(job: BuildJob, request: Request, result: BuildResult, events: Events) -> BuildResult:
    """The result of a build that misses its limit, with the mix that would bring it back.

    The report is written anew with it. Where no mix can help or be found, it stays as it is, and
    the reason is told.
    """
    report = result.report
    row = None if report is None else accuracy_row(report)
    if report is None or row is None or row.accuracy is None or job.calibration is None:
        return result
    gates = with_max_drop(job.target, request.max_drop_pp).gates
    limit = limit_of(gates, row.accuracy)
    if limit is None:
        return result
    started = time.monotonic()
    try:
        search.check_measurable(job.target, job.runtime)
        found = search.search_job(
            job, limit=limit, budget_s=None, events=events, keeps=keeps_limits
        )
    except EdgeError as error:
        # the engine is built and judged: that nothing more can be said of it is no failure
        events.warn(f"which modules cost INT8 its limit is not known: {error.message}")
        return result
    mixed = mixed_of(found, limit, request.command, time.monotonic() - started)
    if mixed is None:
        return result
    if job.recover_minutes is not None:
        # its engines, the all-INT8 one too, are of the graph in front of the recovery
        mixed = replace(mixed, limit=f"{mixed.limit}, both before --recover")
    if limit.max_drop_pp is None:  # of classes: the command's search proves the drop itself
        needed = search.images_needed(len(job.calibration), gates.max_drop_pp)
        mixed = replace(mixed, needs_images=needed)
    return _with(job, report, mixed)


def _with(job: BuildJob, report: RunReport, mixed: MixedPrecision) -> BuildResult:
    report = with_noise(replace(report, mixed=mixed), job.folder)
    save_run(report, job.folder.path)
    return result_of(job.folder, report)


def limit_of(gates: Gates, stats: AccuracyStats) -> Limit | None:
    """What to look for on the calibration images; None: no mix would help.

    A drop of classes is shown by thousands of images: on the few of a quick look the noise stands
    for it. Images change class as its amplitude grows, so a drop of twice the limit needs 6 dB.

    Args:
        gates: with the drop that the build was judged by.
        stats: of the INT8 engine that misses them.
    """
    if stats.task is not None:
        # without a limit in the target there is nothing that a mix could keep
        return Limit(max_drop_pp=gates.max_drop_pp) if has_limits(stats.task, gates) else None
    if stats.labels is not None:
        lost, room = stats.labels.drop_upper95_pp, gates.max_drop_pp
        if provable_drop_pp(stats.images) > room:
            return None  # more images are what is missing
    elif stats.agreement_percent is not None and gates.min_agreement_percent is not None:
        lost, room = 100.0 - stats.agreement_percent, 100.0 - gates.min_agreement_percent
    else:
        return None
    wanted = 20 * math.log10(lost / room) if room > 0 and lost > room else _LEAST_GAIN_DB
    return Limit(min_gain_db=round(min(max(wanted, _LEAST_GAIN_DB), _MOST_GAIN_DB), 1))


def mixed_of(
    found: SearchResult, limit: Limit, command: str, seconds: float
) -> MixedPrecision | None:
    """What a search found: the fastest mix that keeps the limit, or the closest to it.

    Args:
        command: of the build that was searched. seconds: that the search took.
    """
    base, *mixes = found.candidates
    best = found.chosen or max(mixes, key=lambda c: comparable(c.sqnr_db), default=None)
    if best is None or not best.keep_float:
        return None
    return MixedPrecision(
        modules=_modules(found, best),
        of_modules=len(found.sensitivities.modules),
        keeps_limit=found.chosen is not None,
        limit=_limit_words(limit),
        int8_sqnr_db=base.sqnr_db,
        sqnr_db=best.sqnr_db,
        time_ratio=best.time_ratio,
        time_low=best.time_low,
        time_high=best.time_high,
        float_work_percent=100.0 * (best.float_work or 0.0),
        images=best.images or 0,
        seconds=round(seconds, 1),
        command=_command(command),
    )


def _modules(found: SearchResult, best: Candidate) -> tuple[FloatModule, ...]:
    modules = found.sensitivities.modules
    total = sum(module.share for module in modules) or 1.0
    return tuple(
        FloatModule(name=module.node, noise_percent=100.0 * module.share / total)
        for module in modules
        if module.node in best.keep_float
    )


def _limit_words(limit: Limit) -> str:
    if limit.min_gain_db is not None:
        return f"{limit.min_gain_db:g} dB more than all INT8, about what the lost classes take"
    return "the target's limits of its task"


def _command(command: str) -> str:
    """The command, or the call of Python's, that builds the mix."""
    if command.startswith("edge_scnet."):
        return f"edge_scnet.build(..., search_seconds={_SEARCH_S})"
    _, *arguments = command.split(" ")  # run as a module, its name is __main__.py
    return " ".join(["edge-scnet", *arguments, "--search", str(_SEARCH_S)])
