"""build: export, calibrate, quantize, compile, profile, judge; the search where INT8 fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import with_max_drop
from edge_scnet.core.events import Events, Silent
from edge_scnet.errors import ExitCode
from edge_scnet.models import zoo
from edge_scnet.pipeline import board_search, search
from edge_scnet.pipeline.advice import advised
from edge_scnet.pipeline.assemble import conclude
from edge_scnet.pipeline.build_folder import check_unchanged, engine_files
from edge_scnet.pipeline.by_workers import pool_for
from edge_scnet.pipeline.decide import make_job
from edge_scnet.pipeline.expected import check_float, check_rows, check_truth, read_expected
from edge_scnet.pipeline.judging import judging_of, keeps_limits
from edge_scnet.pipeline.measuring import measure_engines, simulate
from edge_scnet.pipeline.module_noise import with_noise
from edge_scnet.pipeline.request import Request
from edge_scnet.pipeline.result import BuildResult, result_of, save_run
from edge_scnet.pipeline.search_task import may_tell_classes
from edge_scnet.pipeline.stages.job import BuildJob, Stage
from edge_scnet.pipeline.stages.run import run_stages
from edge_scnet.report.verdict import reference_doubts
from edge_scnet.scale.executors import Workers
from edge_scnet.sensitivity.result import Limit, SearchResult

if TYPE_CHECKING:
    from torch import nn

    from edge_scnet.data.labels import Role

_COMMAND = "edge_scnet.build(...)"


def build(  # noqa: PLR0913  the public function's options, by keyword
    model: str | Path | nn.Module = zoo.DEFAULT_MODEL,
    *,
    target: str = "cpu",
    calib: Path | str | Iterable[Any] | None = None,
    evaluation: Path | str | Iterable[Any] | None = None,
    out: Path | str | None = None,
    model_options: ModelOptions | None = None,
    batch: int | Literal["dynamic"] | None = None,
    max_drop_pp: float | None = None,
    expect: float | str | Iterable[float | str] | None = None,
    seconds: float = 3.0,
    search_seconds: float | None = None,
    search_on_board: bool = False,
    recover_minutes: float | None = None,
    builds: int = 1,
    workers: Workers | None = None,
    qdq: Path | str | None = None,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    until: Stage = "profile",
    wait: bool = False,
    events: Events | None = None,
    command: str | None = None,
) -> BuildResult:
    """Builds and judges the INT8 engine of a model for a target, stage by stage.

    What the hashes say is current is reused.

    Args:
        model: a zoo name, a checkpoint (with `model_options.arch`), an ONNX file,
            "package.module:factory?width=0.5", "timm:NAME" or "torchvision:NAME" (with
            `model_options.weights`), or a torch.nn.Module, of which a copy is used.
        target: a bundled target's name or a .toml file.
        calib, evaluation: what `--calib` and `--eval` name: folders, lists ("val.csv?label=breed"),
            COCO files, "package.module:samples"; or samples in memory as `quantize` takes them;
            default: the bundled sets, for bundled models only. Of evaluation samples a whole number
            behind the input, as a DataLoader yields it, or "label" in a dict, is the class; what
            else is behind it, or "target" in a dict, is the ground truth of other tasks.
        out: parent of the build folders, default "build"; the files go to out/<model>/<target>/.
        batch: the engine's batch, default the target's; "dynamic" ends at export.
        max_drop_pp: highest loss of top-1 in percentage points, default the target's gate.
        expect: FP32's own figures as their owner measured them, "top1=94.1", "ap50=61.2±0.5", or
            94.1 for the task's first: another one, beyond the tolerance or else the interval of the
            samples, is an error, in front of the calibration.
        seconds: timed seconds per engine.
        search_seconds: where INT8 misses the limit, search so long for the fastest mix with float
            that keeps it on the calibration images, and build and judge that.
        search_on_board: of a target whose plans are built on a board: its bundle carries the float
            graph, the ranges and the calibration samples, and `compile --search` there finds the
            fastest mix by the time of plans.
        recover_minutes: learn so long, behind the quantization, what INT8 has lost against FP32:
            scales, codes and biases, on the calibration samples alone and without labels. What is
            kept is the best on a quarter of them that is held out; where nothing is better, the
            graph stays as it was. Needs PyTorch. A search's mix is recovered too.
        builds: of TensorRT's plans: build each so often, and keep the fastest that is right.
        workers: who calibrates, simulates and finds the accuracy of engines; None: this process.
            Times are measured here, while workers are idle.
        qdq: a Q/DQ ONNX file that another quantizer made of this model (of its model.onnx): proven,
            measured and judged instead of ours.
        skip_bad: leave out images that cannot be read.
        ignore_labels: judge by the float model's classes alone.
        until: the last stage to run.
        wait: where another run writes into the build folder, until it has ended; otherwise that is
            an error.
        events: told of the progress.
        command: the command line that called this, for the report.

    Raises:
        EdgeError: see errors.py; nothing half-written is left, and finished stages are reused by
            the next run.
    """
    is_named = isinstance(model, (str, Path))
    request = Request(
        model=str(model) if is_named else type(model).__name__,
        module=None if is_named else model,
        target=target,
        calib=named_set(calib),
        evaluation=named_set(evaluation),
        held=held_sets(calib, evaluation),
        out=Path(out or "build"),
        options=model_options or ModelOptions(),
        batch=batch,
        max_drop_pp=max_drop_pp,
        expect=read_expected(expect),
        seconds=seconds,
        search_seconds=search_seconds,
        search_on_board=search_on_board,
        recover_minutes=recover_minutes,
        builds=builds,
        workers=workers,
        qdq=Path(qdq) if qdq else None,
        skip_bad=skip_bad,
        ignore_labels=ignore_labels,
        until=until,
        wait=wait,
        command=command or _COMMAND,
    )
    events = events or Silent()
    with make_job(request, events) as job:
        return _build(job, request, events)


def named_set(samples: Path | str | Iterable[Any] | None) -> str | None:
    """The name of a sample set; None where the caller holds it, or there is none."""
    return str(samples) or None if isinstance(samples, (str, Path)) else None


def held_sets(
    calib: Path | str | Iterable[Any] | None, evaluation: Path | str | Iterable[Any] | None
) -> dict[Role, Any]:
    """The sample sets that the caller holds."""
    sets: dict[Role, Any] = {"calibration": calib, "evaluation": evaluation}
    return {
        role: samples
        for role, samples in sets.items()
        if samples is not None and not isinstance(samples, (str, Path))
    }


def _build(job: BuildJob, request: Request, events: Events) -> BuildResult:
    limit = Limit(max_drop_pp=with_max_drop(job.target, request.max_drop_pp).gates.max_drop_pp)
    if request.search_seconds is not None:
        search.check_measurable(job.target, job.runtime)
    is_searched = request.search_seconds is not None and job.calibration is not None
    if is_searched and may_tell_classes(job.source.spec):
        assert job.calibration is not None
        search.check_provable(len(job.calibration), limit)
    if request.search_on_board:
        board_search.check_part(job, request.max_drop_pp)
    check_truth(request.expect, job)
    job, spent = run_stages(
        job,
        request.until,
        events,
        exported=lambda of_float: _exported(of_float, request, events),
    )
    if request.until != "profile":
        return result_of(job.folder, None)
    result = _measure(job, request, spent, events)
    if job.qdq is not None or not _misses_accuracy(result):
        return result
    if doubts := reference_doubts(() if result.report is None else result.report.engines):
        # no mix of INT8 and float changes what FP32 does
        if request.search_seconds is not None:
            events.warn(f"nothing is searched: {doubts[0]}")
        return result
    if request.search_seconds is None:
        return advised(job, request, result, events)
    searched = search.search_job(
        job, limit=limit, budget_s=request.search_seconds, events=events, keeps=keeps_limits
    )
    names = search.mix_to_build(searched)
    if not names:
        events.warn(_without_mix(searched))
        return result
    job = search.of_mix(job, names, events)
    job, spent = run_stages(job, request.until, events)
    return _measure(job, request, spent, events)


def _without_mix(searched: SearchResult) -> str:
    """Why a search leaves the build as it is."""
    if search.is_all_float(searched):
        return (
            f"the fastest engine within the limit has all {len(searched.sensitivities.modules)}"
            " modules in float: no mix with INT8 keeps it"
        )
    return (
        f"the search measured {len(searched.candidates)} engines on the calibration images in"
        f" {searched.seconds:.0f} s: "
        + ("INT8 alone keeps the limit there" if searched.chosen else "none keeps the limit")
    )


def _exported(job: BuildJob, request: Request, events: Events) -> BuildJob:
    """The job once its float graph is there, and does what its owner measured."""
    check_float(request.expect, job, events)
    if request.search_seconds is not None:
        # what the network is for is known by now, also where its file does not say it
        gates = with_max_drop(job.target, request.max_drop_pp).gates
        search.check_told(job, Limit(max_drop_pp=gates.max_drop_pp))
    if not request.search_on_board:
        return job
    return replace(job, board_search=board_search.part_of(job, request.max_drop_pp))


def _misses_accuracy(result: BuildResult) -> bool:
    """Whether accuracy is below its limit, or not proven, of an engine that no other beats."""
    report = result.report
    return (
        report is not None
        and result.exit_code in (ExitCode.ACCURACY, ExitCode.INCONCLUSIVE)
        and any(finding.kind == "accuracy" and finding.exit_code for finding in report.findings)
    )


def _measure(
    job: BuildJob, request: Request, spent: Mapping[str, float], events: Events
) -> BuildResult:
    """Measures what was built, or simulates what a board is to run, and writes the report."""
    target = with_max_drop(job.target, request.max_drop_pp)
    judging = judging_of(job.folder, job.evaluation, events)
    if target.board is None and job.runs_here:
        pool = pool_for(job.runtime.name, job.pool, events)
        measured = measure_engines(
            engine_files(job.folder),
            judging and replace(judging, pool=pool),
            job.source.spec,
            target,
            seconds=request.seconds,
            events=events,
        )
    else:
        assert judging is not None
        measured = simulate(job.folder, judging, target, events=events, pool=job.pool)
    if measured.complete:
        check_rows(measured.rows, request.expect, job.source.spec, job.evaluation)
    report = conclude(
        measured, job.folder.manifest, target, command=request.command, stage_seconds=spent
    )
    report = with_noise(report, job.folder)
    check_unchanged(job.folder, report)
    save_run(report, job.folder.path)
    return result_of(job.folder, report)
