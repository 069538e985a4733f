"""The search for a mix of INT8 and float on the board itself, with what its bundle carries.

`part_of` decides on the workstation what goes into the bundle; `searched` runs on the board.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.compile.search_part import (
    SEARCH,
    SearchOnBoard,
    check_size,
    load,
    names_code,
)
from edge_scnet.config.target import TargetSpec, from_dict, with_max_drop
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import PlanFacts, PlanSearch
from edge_scnet.core.manifest import FLOAT_ONNX, FP16_PLAN, INT8_PLAN
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, DataError, TargetError
from edge_scnet.models.zoo import ModelSource
from edge_scnet.pipeline import search
from edge_scnet.pipeline.judging import keeps_limits
from edge_scnet.pipeline.search_task import may_tell_classes, told_task
from edge_scnet.pipeline.stages.compile_plans import compile_mix
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.pipeline.stages.quantize import quantize
from edge_scnet.runtimes import runtime_named
from edge_scnet.sensitivity.result import Candidate, Limit, SearchResult
from edge_scnet.sensitivity.show import cost_words
from edge_scnet.stats.decibels import comparable, decibels

if TYPE_CHECKING:
    from edge_scnet.core.manifest import Manifest
    from edge_scnet.data.samples import SampleSet

# the extra that a search needs on a board beside `jetson`, and its packages
_EXTRA, _PACKAGES = "quantize", ("onnx", "onnx_ir", "onnxruntime")


def check_part(job: BuildJob, max_drop_pp: float | None) -> None:
    """Refuses a build whose bundle cannot be for a search, before the first stage.

    Args:
        max_drop_pp: of `build`; None: the target's.

    Raises:
        TargetError: the target has no bundle.
        ArtifactError: the graph of the plans is not our quantizer's, or is recovered.
        DataError: the samples cannot show that the limit is kept, or are too many for a bundle.
    """
    target = job.target
    if not job.runtime.packs_bundle:
        raise TargetError(
            f"--search-on-board is for targets whose plans are built on a board; {target.name} is"
            " searched where it is built",
            hint=f"edge-scnet build --target {target.name} --search 300",
        )
    if job.qdq is not None:
        raise ArtifactError(
            "--search-on-board makes mixes by our quantizer; the Q/DQ of this build is another's",
            hint="pass the float model without --qdq, or leave --search-on-board out",
        )
    if job.recover_minutes is not None:
        raise ArtifactError(
            "--search-on-board makes mixes of the graph as it is quantized, and --recover changes"
            " that with PyTorch, which no board needs to have",
            hint="leave --search-on-board or --recover out",
        )
    assert job.calibration is not None
    if may_tell_classes(job.source.spec):
        gates = with_max_drop(target, max_drop_pp).gates
        search.check_provable(len(job.calibration), Limit(max_drop_pp=gates.max_drop_pp))
    check_size(job.calibration, job.source.spec)


def part_of(job: BuildJob, max_drop_pp: float | None) -> SearchOnBoard:
    """What a search on the board of an exported job is for.

    Args:
        max_drop_pp: of `build`; None: the target's.

    Raises:
        DataError: it is judged by code of the user's own, which a bundle does not carry.
    """
    task = told_task(job)
    if (name := names_code(task)) is not None:
        raise DataError(
            f"a search on the board would judge by {name}, and a bundle carries no code",
            hint=(
                "leave --search-on-board out; on the board, with that module and the model's .onnx:"
                f" edge-scnet sensitivity MODEL.onnx --target {job.target.name} --calib DIR --gain"
                " 3"
            ),
        )
    gates = with_max_drop(job.target, max_drop_pp).gates
    return SearchOnBoard(task=task, max_drop_pp=gates.max_drop_pp)


def open_part(unpacked: Path, bundle: Path, manifest: Manifest) -> tuple[SearchOnBoard, SampleSet]:
    """What an unpacked bundle carries for a search, where this board can search.

    Args:
        bundle: the archive, for messages.

    Raises:
        TargetError: the plans cannot be run by Python here.
        MissingRuntimeError: a package is not installed.
        ArtifactError: the bundle was made without that part, or it is damaged.
        DataError: the samples do not fit the memory.
    """
    target = from_dict(manifest.target)
    runtime = runtime_named(target.runtime)
    if reason := runtime.unavailable_to_run():
        raise TargetError(
            f"--search measures plans, and they cannot be run by Python here: {reason}",
            hint=f"edge-scnet doctor; without a search: edge-scnet compile {bundle.name}",
        )
    for package in _PACKAGES:
        require(package, extra=_EXTRA)
    if not (unpacked / SEARCH).is_file():
        raise ArtifactError(
            f"{bundle} carries no float graph and calibration samples, which --search needs",
            hint=f"on the workstation: {_with_part(manifest.rebuild)}",
        )
    return load(unpacked, manifest.model)


def _with_part(rebuild: str) -> str:
    """The command, or the call of Python's, that builds it again with the part."""
    if rebuild.startswith("edge_scnet."):
        return rebuild.removesuffix(")") + ", search_on_board=True)"
    return f"{rebuild} --search-on-board"


def searched(
    folder: BuildFolder,
    part: tuple[SearchOnBoard, SampleSet],
    *,
    builds: int,
    budget_s: float,
    events: Events,
) -> tuple[BuildFolder | None, PlanSearch]:
    """Searches the fastest mix that keeps the limit, and builds its plans.

    What was measured is kept in sensitivity.json: after an interrupted search the next one goes on
    from there.

    Args:
        folder: of the unpacked bundle.
        part: of `open_part`.

    Returns:
        The folder with the mix and its plans, and what the search came to. None: no mix is to be
        built, because INT8 alone keeps the limit, or nothing that was measured does.

    Raises:
        DataError: the samples cannot show that the limit is kept.
        ParityError, BackendError: as `compile_mix`.
    """
    wanted, samples = part
    target = from_dict(folder.manifest.target)
    job = _job(folder, target, wanted, samples, builds)
    limit = Limit(max_drop_pp=wanted.max_drop_pp)
    result = search.search_job(
        job, limit=limit, budget_s=budget_s, events=events, keeps=keeps_limits, int8_first=True
    )
    told = _told(result, wanted.max_drop_pp)
    names = search.mix_to_build(result)
    if not names:
        events.warn(_nothing_chosen(result, wanted.max_drop_pp))
        return None, told
    job = search.of_mix(job, names, events)
    job = replace(job, folder=quantize(job, events).without_stale())
    made = compile_mix(job, events)
    made.save()
    return made, told


def with_search(folder: BuildFolder, told: PlanSearch) -> BuildFolder:
    """The folder whose INT8 plan tells what the search came to."""
    entry = folder.entry(INT8_PLAN)
    facts = replace(folder.facts(INT8_PLAN, PlanFacts), search=told)
    return folder.with_artifact(replace(entry, facts=facts))


def _job(
    folder: BuildFolder,
    target: TargetSpec,
    wanted: SearchOnBoard,
    samples: SampleSet,
    builds: int,
) -> BuildJob:
    """The job that the bundle is of, as far as a search and a compilation need it."""
    return BuildJob(
        source=ModelSource(
            spec=replace(folder.manifest.model, task=wanted.task),
            kind="onnx",
            location=str(folder.path / FLOAT_ONNX),
        ),
        target=target,
        floor=folder.manifest.floor,
        runtime=runtime_named(target.runtime),
        folder=folder,
        calibration=samples,
        evaluation=None,
        dynamic_batch=False,
        builds=builds,
    )


def _told(result: SearchResult, max_drop_pp: float) -> PlanSearch:
    chosen = result.chosen
    return PlanSearch(
        max_drop_pp=max_drop_pp,
        engines=len(result.candidates),
        seconds=result.seconds,
        finished=result.finished,
        keep_float=None if chosen is None else chosen.keep_float,
        sqnr_db=None if chosen is None else chosen.sqnr_db,
        time_ratio=None if chosen is None else chosen.time_ratio,
        time_low=None if chosen is None else chosen.time_low,
        time_high=None if chosen is None else chosen.time_high,
    )


def _nothing_chosen(result: SearchResult, max_drop_pp: float) -> str:
    """Why the plans of the all-INT8 form are built, and what came closest."""
    if search.is_all_float(result):
        return (
            f"no mix with INT8 keeps {max_drop_pp:g} pp faster than FP16 alone, which is"
            f" {FP16_PLAN}; {INT8_PLAN} is of the all-INT8 form"
        )
    if result.chosen is not None:
        return (
            f"INT8 alone keeps {max_drop_pp:g} pp on the calibration samples: nothing stays in"
            " float"
        )
    best = min(result.candidates, key=_distance)
    up_to = (
        f" leaves a drop of up to {best.drop_upper95_pp:.2f} pp possible,"
        if best.drop_upper95_pp is not None
        else ""
    )
    end = "" if result.finished else "; the time was up: a longer --search goes on from there"
    return (
        f"none of {len(result.candidates)} engines keeps {max_drop_pp:g} pp: the closest"
        f" ({len(best.keep_float)} modules in float){up_to} {decibels(best.sqnr_db)},"
        f" {cost_words(best)}{end}; the plans of the all-INT8 form are built"
    )


def _distance(candidate: Candidate) -> tuple[float, float]:
    """How far an engine is from float: the lowest drop first, then the highest SQNR."""
    drop = candidate.drop_upper95_pp
    return (float("inf") if drop is None else drop, -comparable(candidate.sqnr_db))
