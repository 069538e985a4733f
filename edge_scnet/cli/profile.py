"""The commands that measure and check what was built: `profile` and `inspect`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from edge_scnet.cli import console, outputs
from edge_scnet.cli.command_help import told
from edge_scnet.cli.data_options import with_data_options
from edge_scnet.cli.device import with_device
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import (
    AsJson,
    Batches,
    Eval,
    Expect,
    ExpectTop1,
    IgnoreLabels,
    InspectTarget,
    MaxDrop,
    Seconds,
    SkipBad,
    Threads,
    Wait,
    command_line,
    expected,
    with_engine_options,
)
from edge_scnet.cli.printer import say
from edge_scnet.cli.project_option import ProjectCommand, with_project_path
from edge_scnet.cli.show import show_faults, show_result, show_together
from edge_scnet.cli.worker_options import Processes, Scheduler, Store, workers_of
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ExitCode


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("profile", cls=ProjectCommand, **told("profile"))(guarded(with_device(profile)))
    app.command("inspect", cls=ProjectCommand, **told("inspect"))(guarded(inspect))


@with_engine_options
@functools.partial(with_project_path, path="paths")
@with_data_options
def profile(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help=(
                "A build folder, an engine or ONNX file in one, or any .xml, .onnx or .plan without"
                " a manifest; several of the last, or of all with --interleave."
            ),
        ),
    ],
    evaluation: Eval = None,
    seconds: Seconds = 3.0,
    max_drop: MaxDrop = None,
    expect: Expect = None,
    expect_top1: ExpectTop1 = None,
    skip_bad: SkipBad = False,
    ignore_labels: IgnoreLabels = False,
    batches: Batches = None,
    threads: Threads = None,
    processes: Processes = None,
    scheduler: Scheduler = None,
    store: Store = None,
    interleave: Annotated[
        bool,
        typer.Option(
            "--interleave", help="Time several engines together, and say whether they differ."
        ),
    ] = False,
    cuda_graph: Annotated[
        bool | None,
        typer.Option(
            "--cuda-graph/--no-cuda-graph",
            help=(
                "Plans enqueue an inference as one CUDA graph, or do not; default: both are timed"
                " in turn, and the faster is reported."
            ),
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Write the report of engines without a manifest here."
        ),
    ] = None,
    wait: Wait = False,
    as_json: AsJson = False,
    *,
    model_options: ModelOptions,
) -> None:
    """Measure engines: latency, throughput, end to end, memory, accuracy.

    A build folder's report.json is renewed, also by a board's results.tar.gz in it; of a single
    file, measured beside its FP32 reference, nothing is saved. Without --eval the images of the
    build are used. An engine that no manifest lists is measured on random inputs, or on --eval with
    --mean and --std, and not judged. Exit codes as build's. Ctrl-C prints what was measured up to
    then, and writes a build folder's to report.partial.json. With --workers or --scheduler workers
    find the accuracy, on machines like this one, after all is timed here.
    """
    figures = expected(expect, expect_top1)
    workers = workers_of(processes, scheduler, store, command="profile PATH")
    if interleave:
        _refuse_together(
            of_one_build=bool(batches or threads or report),
            judges=cuda_graph is not None or max_drop is not None or bool(figures),
            by_workers=workers is not None,
        )
        _profile_together(
            paths,
            seconds=seconds,
            evaluation=evaluation,
            model_options=model_options,
            skip_bad=skip_bad,
            ignore_labels=ignore_labels,
            as_json=as_json,
        )
        return
    path = paths[0]
    if path.name == "results.tar.gz" and len(paths) == 1:
        if batches or threads or cuda_graph is not None or report or figures or workers:
            raise typer.BadParameter(
                "a board's results are what was timed there: leave --batch, --threads,"
                " --cuda-graph, --expect, --report and --workers out"
            )
        from edge_scnet.pipeline.board import profile_results

        with console.events() as events:
            result = profile_results(
                path, max_drop_pp=max_drop, wait=wait, events=events, command=command_line()
            )
        show_result(result, as_json=as_json, saved=True)
        return
    from edge_scnet.pipeline import profile as pipeline
    from edge_scnet.pipeline.foreign import is_foreign

    foreign = all(map(is_foreign, paths))
    if len(paths) > 1 and not foreign:
        raise typer.BadParameter("several engines are timed together: add --interleave")
    if foreign and (max_drop is not None or figures):
        raise typer.BadParameter(
            "engines without a manifest are measured and not judged: leave --max-drop and --expect"
            " out"
        )
    if report is not None:
        _check_report(report, foreign=foreign)
    with console.events() as events:
        result = pipeline.profile(
            path,
            beside=paths[1:],
            evaluation=evaluation,
            seconds=seconds,
            max_drop_pp=max_drop,
            expect=figures,
            skip_bad=skip_bad,
            ignore_labels=ignore_labels,
            cuda_graph=cuda_graph,
            batches=batches or (),
            threads=threads or (),
            workers=workers,
            wait=wait,
            events=events,
            command=command_line(),
            model_options=model_options,
        )
    if report is not None and result.report is not None:
        from edge_scnet.core.output_file import write_output
        from edge_scnet.report.store import to_json

        write_output(report, to_json(result.report))
    show_result(result, as_json=as_json, saved=path.is_dir())


def _check_report(report: Path, *, foreign: bool) -> None:
    """Refuses a place for a report before an hour is spent on it."""
    if not foreign:
        raise typer.BadParameter("--report is for engines without a manifest: leave it out")
    if not report.parent.is_dir():
        raise typer.BadParameter(f"--report {report}: there is no folder {report.parent}")


def _refuse_together(*, of_one_build: bool, judges: bool, by_workers: bool) -> None:
    """Refuses options that are not for `--interleave`."""
    if of_one_build:
        raise typer.BadParameter(
            "--batch, --threads and --report are for the engines of one build: leave --interleave"
            " out"
        )
    if judges:
        raise typer.BadParameter(
            "engines timed together are not judged: leave --max-drop, --expect and --cuda-graph out"
        )
    if by_workers:
        raise typer.BadParameter(
            "engines timed together are compared where they are timed: leave --workers,"
            " --scheduler and --store out"
        )


def _profile_together(
    paths: list[Path],
    *,
    seconds: float,
    evaluation: str | None,
    model_options: ModelOptions,
    skip_bad: bool,
    ignore_labels: bool,
    as_json: bool,
) -> None:
    from edge_scnet.pipeline.together import time_together

    with console.events() as events:
        result = time_together(
            paths,
            seconds=seconds,
            evaluation=evaluation,
            model_options=model_options,
            skip_bad=skip_bad,
            ignore_labels=ignore_labels,
            events=events,
        )
    if as_json:
        outputs.show("together", result)
    else:
        show_together(result)
    if not result.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)


@functools.partial(with_project_path, path="path")
def inspect(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A Q/DQ ONNX file, ours or made by another quantizer; or a build folder.",
        ),
    ],
    target: InspectTarget = None,
    as_json: AsJson = False,
) -> None:
    """Check a Q/DQ file against a target: what its runtime refuses, computes wrongly or runs
    slowly, and the fix.

    Exit code: 0 nothing that would be wrong; 6 errors.
    """
    from edge_scnet.pipeline import inspect as pipeline

    inspected = pipeline.inspect(path, target)
    errors = sum(finding.severity == "error" for finding in inspected.findings)
    warnings = len(inspected.findings) - errors
    if as_json:
        outputs.show("inspect", inspected)
    else:
        show_faults(inspected.findings)
        say(*(f"note: {note}" for note in inspected.notes))
        say(f"{inspected.file}: {errors} errors, {warnings} warnings for target {inspected.target}")
    if errors:
        raise typer.Exit(ExitCode.ARTIFACT)
