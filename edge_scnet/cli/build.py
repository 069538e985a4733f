"""The commands that build: `build`, its single stages, and `sensitivity`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edge_scnet.cli import console, outputs
from edge_scnet.cli.command_help import told
from edge_scnet.cli.data_options import with_data_options
from edge_scnet.cli.device import with_device
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import (
    AsJson,
    Batch,
    Builds,
    Calib,
    Eval,
    Expect,
    ExpectTop1,
    IgnoreLabels,
    MaxDrop,
    Model,
    Out,
    Qdq,
    RecoverMinutes,
    Seconds,
    SkipBad,
    Target,
    Wait,
    command_line,
    expected,
    with_model_options,
)
from edge_scnet.cli.printer import say
from edge_scnet.cli.project_option import ProjectCommand, with_project
from edge_scnet.cli.search_options import (
    Budget,
    BundleSearch,
    Gain,
    MinSqnr,
    SearchOnBoard,
    SearchSeconds,
)
from edge_scnet.cli.show import show_files, show_result
from edge_scnet.cli.worker_options import Processes, Scheduler, Store, workers_of
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ExitCode

if TYPE_CHECKING:
    from edge_scnet.core.build_folder import BuildFolder
    from edge_scnet.pipeline.stages.job import Stage

_STAGES: dict[Stage, str] = {
    "export": "Export to ONNX with parity proven, and stop there.",
    "calibrate": "Export and collect statistics over the calibration images, and stop there.",
    "quantize": "Export, calibrate and write the Q/DQ graph, and stop there.",
    "compile": (
        "Everything but the measuring. On a board, MODEL may be the bundle.tar.gz that a build made"
        " for it."
    ),
}


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("build", cls=ProjectCommand, **told("build"))(guarded(with_device(build)))
    for stage, summary in _STAGES.items():
        command = _stage_command(stage, summary)
        if stage == "compile":
            command = with_device(command)
        app.command(stage, cls=ProjectCommand, **told(stage))(guarded(command))
    app.command("sensitivity", cls=ProjectCommand, **told("sensitivity"))(
        guarded(with_device(sensitivity))
    )


@with_model_options
@with_project
@with_data_options
def build(
    model: Model = None,
    target: Target = "cpu",
    calib: Calib = None,
    evaluation: Eval = None,
    out: Out = None,
    batch: Batch = None,
    qdq: Qdq = None,
    max_drop: MaxDrop = None,
    expect: Expect = None,
    expect_top1: ExpectTop1 = None,
    search_seconds: SearchSeconds = None,
    search_on_board: SearchOnBoard = False,
    recover_minutes: RecoverMinutes = None,
    builds: Builds = 1,
    processes: Processes = None,
    scheduler: Scheduler = None,
    store: Store = None,
    seconds: Seconds = 3.0,
    skip_bad: SkipBad = False,
    ignore_labels: IgnoreLabels = False,
    wait: Wait = False,
    as_json: AsJson = False,
    *,
    model_options: ModelOptions,
) -> None:
    """Build, prove and measure the INT8 engine of a model. Default model: scnet20 on Fashion-MNIST,
    bundled with its data.

    Exit code: 0 ship; 10 accuracy beyond --max-drop; 11 accurate, but slower than another engine in
    latency and throughput; 13 not proven: too few images, or no gain beyond noise; errors 3 to 9.
    """
    from edge_scnet.models import zoo
    from edge_scnet.pipeline import build as pipeline

    with console.events() as events:
        result = pipeline.build(
            model or zoo.DEFAULT_MODEL,
            target=target,
            calib=calib,
            evaluation=evaluation,
            out=out,
            model_options=model_options,
            batch=batch,
            max_drop_pp=max_drop,
            expect=expected(expect, expect_top1),
            seconds=seconds,
            search_seconds=search_seconds,
            search_on_board=search_on_board,
            recover_minutes=recover_minutes,
            builds=builds,
            workers=workers_of(processes, scheduler, store),
            qdq=qdq,
            skip_bad=skip_bad,
            ignore_labels=ignore_labels,
            wait=wait,
            events=events,
            command=command_line(),
        )
    from edge_scnet.cli.device_board import on_its_board

    show_result(on_its_board(result), as_json=as_json, saved=True)


def _stage_command(stage: Stage, summary: str) -> Callable[..., None]:
    """The command of a stage: a build that ends after it."""
    if stage == "compile":
        compile_plans.__doc__ = summary
        return compile_plans

    @with_model_options
    @with_project
    @with_data_options
    def run(
        model: Model = None,
        target: Target = "cpu",
        calib: Calib = None,
        out: Out = None,
        batch: Batch = None,
        skip_bad: SkipBad = False,
        wait: Wait = False,
        as_json: AsJson = False,
        *,
        model_options: ModelOptions,
    ) -> None:
        _until(
            stage,
            model,
            as_json=as_json,
            target=target,
            calib=calib,
            out=out,
            model_options=model_options,
            batch=batch,
            skip_bad=skip_bad,
            wait=wait,
        )

    run.__doc__ = summary
    return run


def _until(stage: Stage, model: str | None, *, as_json: bool, **options: Any) -> None:
    """Builds until a stage, and prints the files that it made.

    Args:
        options: of `pipeline.build.build`.
    """
    from edge_scnet.models import zoo
    from edge_scnet.pipeline import build as pipeline

    with console.events() as events:
        result = pipeline.build(
            model or zoo.DEFAULT_MODEL,
            until=stage,
            events=events,
            command=command_line(),
            **options,
        )
    made = [entry for entry in result.manifest.artifacts.values() if entry.stage == stage]
    show_files(result.folder, made, as_json=as_json)


@with_model_options
@with_project
@with_data_options
def compile_plans(
    model: Model = None,
    target: Target = "cpu",
    calib: Calib = None,
    out: Out = None,
    batch: Batch = None,
    builds: Builds = 1,
    search_seconds: BundleSearch = None,
    skip_bad: SkipBad = False,
    wait: Wait = False,
    as_json: AsJson = False,
    *,
    model_options: ModelOptions,
) -> None:
    """`compile`; what it is for is told where it is registered."""
    from edge_scnet.pipeline.board import compile_bundle

    if model is not None and model.endswith((".tar.gz", ".tgz")):
        with console.events() as events:
            folder = compile_bundle(
                Path(model),
                out or Path("build"),
                builds=builds,
                search_seconds=search_seconds,
                wait=wait,
                events=events,
                command=command_line(),
            )
        _show_plans(folder, as_json=as_json)
        return
    if search_seconds is not None:
        raise typer.BadParameter(
            "--search is for a bundle.tar.gz on its board; a model is searched by: edge-scnet build"
            f" {model or ''} --target {target} --search {search_seconds:g}".replace("  ", " ")
        )
    _until(
        "compile",
        model,
        as_json=as_json,
        target=target,
        calib=calib,
        out=out,
        model_options=model_options,
        batch=batch,
        builds=builds,
        skip_bad=skip_bad,
        wait=wait,
    )


def _show_plans(folder: BuildFolder, *, as_json: bool) -> None:
    """The plans of a folder, or where they lie and what comes next."""
    from edge_scnet.core.manifest import INT8_PLAN

    if as_json:
        plans = [entry for entry in folder.manifest.artifacts.values() if entry.stage == "compile"]
        show_files(folder.path, plans, as_json=True)
    else:
        plan = folder.path / INT8_PLAN
        say(str(plan), f"next: edge-scnet profile {plan}")


@with_model_options
@with_project
@with_data_options
def sensitivity(
    model: Model = None,
    target: Target = "cpu",
    calib: Calib = None,
    out: Out = None,
    gain: Gain = None,
    min_sqnr: MinSqnr = None,
    max_drop: MaxDrop = None,
    budget: Budget = 300.0,
    processes: Processes = None,
    scheduler: Scheduler = None,
    store: Store = None,
    skip_bad: SkipBad = False,
    wait: Wait = False,
    as_json: AsJson = False,
    *,
    model_options: ModelOptions,
) -> None:
    """Show which modules cost accuracy; with --gain, --min-sqnr or --max-drop search the fastest
    mix that keeps it.

    Both on the calibration images. What was measured is kept in sensitivity.json: a second call
    goes on from there. Exit code 10: nothing measured keeps the limit.
    """
    from edge_scnet.models import zoo
    from edge_scnet.pipeline import sensitivity as pipeline_sensitivity
    from edge_scnet.sensitivity.result import Limit
    from edge_scnet.sensitivity.show import search_table

    searched = gain is not None or min_sqnr is not None or max_drop is not None
    limit = Limit(min_sqnr_db=min_sqnr, min_gain_db=gain, max_drop_pp=max_drop)
    with console.events() as events:
        result = pipeline_sensitivity.sensitivity(
            model or zoo.DEFAULT_MODEL,
            target=target,
            calib=calib,
            out=out,
            model_options=model_options,
            limit=limit if searched else None,
            budget_seconds=budget,
            workers=workers_of(processes, scheduler, store),
            skip_bad=skip_bad,
            wait=wait,
            events=events,
            command=command_line(),
        )
    if as_json:
        outputs.show("sensitivity", result)
    else:
        say(*search_table(result))
    if searched and result.chosen is None:
        raise typer.Exit(ExitCode.ACCURACY)
