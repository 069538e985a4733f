"""The main job: export, calibrate, quantize, compile, profile, judge.

Owns what is decided before the first stage, and the order of the stages; the stages are in
`stages.py`.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import with_max_drop
from edge_scnet.core.events import Events, Silent
from edge_scnet.models import zoo
from edge_scnet.pipeline import sensitivity as mixed
from edge_scnet.pipeline.build_folder import engine_files
from edge_scnet.pipeline.profile import measure_and_judge, simulate_and_judge
from edge_scnet.pipeline.request import Request, make_job
from edge_scnet.pipeline.result import BuildResult, save_run
from edge_scnet.pipeline.stages.job import Stage
from edge_scnet.pipeline.stages.run import run_stages
from edge_scnet.report.findings import ACCURACY_EXIT_CODE, INCONCLUSIVE_EXIT_CODE
from edge_scnet.sensitivity.result import Limit


def build(
    model: str = zoo.DEFAULT_MODEL,
    *,
    target: str = "cpu",
    calib: Path | str | None = None,
    evaluation: Path | str | None = None,
    out: Path | str | None = None,
    model_options: ModelOptions | None = None,
    batch: int | Literal["dynamic"] | None = None,
    max_drop_pp: float | None = None,
    seconds: float = 3.0,
    search_seconds: float | None = None,
    qdq: Path | str | None = None,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    until: Stage = "profile",
    events: Events | None = None,
) -> BuildResult:
    """Builds and judges the INT8 engine of a model for a target, stage by stage, reusing what the
    hashes say is current.

    Args:
        model: a zoo name, a checkpoint (with `model_options.arch`), an ONNX file, or
            "package.module:factory".
        target: a bundled target's name or a .toml file.
        calib, evaluation: folders of images; default: the bundled sets, for bundled models only.
        out: parent of the build folders, default "build"; the files go to out/<model>/<target>/.
        batch: the engine's batch, default the target's; "dynamic" ends at export.
        max_drop_pp: highest loss of top-1 in percentage points, default the target's gate.
        seconds: timed seconds per engine.
        search_seconds: where INT8 misses the limit, search so long for the fastest mix with float
            that keeps it on the calibration images, and build and judge that.
        qdq: a Q/DQ ONNX file that another quantizer made of this model (of its model.onnx): proven,
            measured and judged instead of ours.
        until: the last stage to run.

    Raises:
        EdgeError: see errors.py; nothing half-written is left, and finished stages are reused by
            the next run.
    """
    events = events or Silent()
    request = Request(
        model=model,
        target=target,
        calib=Path(calib) if calib else None,
        evaluation=Path(evaluation) if evaluation else None,
        out=Path(out or "build"),
        options=model_options or ModelOptions(),
        batch=batch,
        skip_bad=skip_bad,
        ignore_labels=ignore_labels,
        until=until,
        qdq=Path(qdq) if qdq else None,
    )
    job = make_job(request, events)
    judged_by = with_max_drop(job.target, max_drop_pp)
    limit = Limit(max_drop_pp=judged_by.gates.max_drop_pp)
    if search_seconds is not None and job.calibration is not None:
        mixed.check_provable(len(job.calibration), limit)
    job, spent = run_stages(job, until, events)
    if until != "profile":
        return BuildResult(
            folder=job.folder.path, manifest=job.folder.manifest, report=None, exit_code=0
        )

    def judge() -> BuildResult:
        if judged_by.board is not None:
            assert job.evaluation is not None
            report, code = simulate_and_judge(
                job.folder,
                job.evaluation,
                target=judged_by,
                stage_seconds=spent,
                events=events,
            )
            save_run(report, job.folder.path)
            return BuildResult(
                folder=job.folder.path, manifest=job.folder.manifest, report=report, exit_code=code
            )
        report, code = measure_and_judge(
            job.folder,
            engine_files(job.folder),
            job.evaluation,
            target=judged_by,
            seconds=seconds,
            stage_seconds=spent,
            events=events,
        )
        return BuildResult(
            folder=job.folder.path, manifest=job.folder.manifest, report=report, exit_code=code
        )

    result = judge()
    if (
        search_seconds is None
        or qdq is not None
        or result.exit_code not in (ACCURACY_EXIT_CODE, INCONCLUSIVE_EXIT_CODE)
    ):
        return result
    found = mixed.run(job, limit=limit, budget_s=search_seconds, events=events)
    if found.chosen is None or not found.chosen.keep_float:
        events.warn(
            f"the search measured {len(found.candidates)} engines on the calibration images in"
            f" {found.seconds:.0f} s: "
            + ("INT8 alone keeps the limit there" if found.chosen else "none keeps the limit")
        )
        return result
    events.warn(
        f"{len(found.chosen.keep_float)} modules stay in float to keep the limit:"
        f" {', '.join(found.chosen.keep_float)}"
    )
    target_kept = mixed.with_float(job.target, found.chosen.keep_float)
    manifest = replace(job.folder.manifest, target=asdict(target_kept))
    job = replace(job, target=target_kept, folder=replace(job.folder, manifest=manifest))
    job, spent = run_stages(job, until, events)
    return judge()
