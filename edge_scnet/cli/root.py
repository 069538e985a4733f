"""The command line: parse, call one function, render, exit code. `guard.py` prints errors, `cli_gate.py` has `check`.

Nothing heavy is imported at module level: `edge-scnet --help` and shell completion must answer at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from edge_scnet import __version__
from edge_scnet.cli import gate as cli_gate
from edge_scnet.cli import interrupts
from edge_scnet.cli import machine as cli_machine
from edge_scnet.cli import reports as cli_compare
from edge_scnet.cli.guard import guarded, printing
from edge_scnet.cli.options import (
    Arch,
    AsJson,
    Batch,
    Batches,
    Budget,
    Built,
    Calib,
    Channels,
    ClassNames,
    Eval,
    Gain,
    IgnoreLabels,
    InputSize,
    MaxDrop,
    Mean,
    MinSqnr,
    Model,
    Name,
    NumClasses,
    Out,
    Qdq,
    Resize,
    SearchSeconds,
    Seconds,
    SkipBad,
    Std,
    Target,
    Threads,
)

if TYPE_CHECKING:
    from edge_scnet.models.zoo import ModelOptions
    from edge_scnet.pipeline.assemble import BuildResult
    from edge_scnet.pipeline.stages.run import Stage
    from edge_scnet.report.run_report import RunReport

P = ParamSpec("P")

app = typer.Typer(
    help="Trained SCNet (or your own CNN) in, INT8 engines out, with the proof that they are fast and still accurate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(name: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Registers a command behind the one error handler."""

    def register(function: Callable[P, None]) -> Callable[P, None]:
        safe = guarded(function)
        app.command(name)(safe)
        return safe

    return register


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"edge-scnet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def _model_options(
    arch: str | None, num_classes: int | None, channels: int | None, input_size: int | None, resize: int | None,
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, class_names: Path | None, name: str | None,
) -> ModelOptions:  # fmt: skip
    from edge_scnet.errors import DataError
    from edge_scnet.models.zoo import ModelOptions

    names = None
    if class_names is not None:
        try:
            names = tuple(line.strip() for line in class_names.read_text(encoding="utf-8").splitlines() if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"--class-names {class_names} cannot be read: {error}", hint="a text file, one name per line"
            ) from error
    return ModelOptions(
        arch=arch, num_classes=num_classes, channels=channels, input_size=input_size, resize=resize, mean=mean, std=std,
        class_names=names, name=name,
    )  # fmt: skip


@command("build")
def build(
    model: Model = None, target: Target = "cpu", calib: Calib = None, evaluation: Eval = None, out: Out = None,
    batch: Batch = None, qdq: Qdq = None, max_drop: MaxDrop = None, search_seconds: SearchSeconds = None,
    seconds: Seconds = 3.0, skip_bad: SkipBad = False, ignore_labels: IgnoreLabels = False, as_json: AsJson = False,
    arch: Arch = None, num_classes: NumClasses = None, channels: Channels = None, input_size: InputSize = None,
    resize: Resize = None, mean: Mean = None, std: Std = None, class_names: ClassNames = None, name: Name = None,
) -> None:  # fmt: skip
    """Build, prove and measure the INT8 engine of a model. Default model: scnet20 on Fashion-MNIST, bundled with its data.

    Exit code: 0 ship; 10 accuracy beyond --max-drop; 11 accurate, but slower than FP32; 13 too few images; errors 3 to 9.
    """
    options = _model_options(arch, num_classes, channels, input_size, resize, mean, std, class_names, name)
    result = _run(
        "profile", model, target, calib, evaluation, out, options, batch, max_drop_pp=max_drop, seconds=seconds,
        search_seconds=search_seconds, qdq=qdq, skip_bad=skip_bad, ignore_labels=ignore_labels,
    )  # fmt: skip
    _show_report(result, as_json=as_json, saved=True)


def _run(
    until: Stage, model: str | None, target: str, calib: Path | None, evaluation: Path | None, out: Path | None,
    options: ModelOptions, batch: Any, **settings: Any,
) -> BuildResult:  # fmt: skip
    from edge_scnet.cli import console
    from edge_scnet.models import zoo
    from edge_scnet.pipeline import build as pipeline

    events = console.events()
    try:
        return pipeline.build(
            model or zoo.DEFAULT_MODEL, target=target, calib=calib, evaluation=evaluation, out=out, model_options=options,
            batch=batch, until=until, events=events, **settings,
        )  # fmt: skip
    finally:
        events.close()


def _show_report(result: BuildResult, *, as_json: bool, saved: bool) -> None:
    report = result.report
    assert report is not None
    with printing():
        _print_report(result, report, as_json=as_json, saved=saved)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _print_report(result: BuildResult, report: RunReport, *, as_json: bool, saved: bool) -> None:
    from edge_scnet.cli.reports import show_tables
    from edge_scnet.core.manifest import PARTIAL_REPORT
    from edge_scnet.machine.board import board_words
    from edge_scnet.report.run_report import to_json

    if as_json:
        typer.echo(to_json(report))
    else:
        from rich.console import Console

        console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        show_tables(report, console)
        for line in board_words(report.board) if report.board else ():
            console.print(line, markup=False, soft_wrap=True)
        color = {0: "green", 10: "red", 11: "red"}.get(result.exit_code, "yellow")
        # names and paths may hold brackets, which are markup to rich
        console.print(report.verdict, style=color, markup=False, soft_wrap=True)
        if saved:
            written = f"{result.folder}/" if report.complete else str(result.folder / PARTIAL_REPORT)
            console.print(f"files: {written}", markup=False, soft_wrap=True)
        bundle = result.manifest.artifacts.get("bundle.tar.gz")
        if bundle is not None and all(engine.latency is None for engine in report.engines):
            archive = f"{result.folder / bundle.file} ({bundle.size_bytes / 1e6:.1f} MB)"
            typer.echo(
                f"compiled: no, a plan is built on its board\n"
                f"next: copy {archive} there, then: edge-scnet compile {bundle.file}\n"
                f"      or without Python: tar xzf {bundle.file}, and sh build.sh in its folder"
            )


def _compile_bundle(path: Path, out: Path | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from edge_scnet.cli import console
    from edge_scnet.compile import bundle

    events = console.events()
    try:
        folder, manifest = bundle.compile_bundle(path, out or Path("build"), events=events)
    finally:
        events.close()
    if as_json:
        plans = [asdict(entry) for entry in manifest.artifacts.values() if entry.stage == "compile"]
        typer.echo(json.dumps({"folder": str(folder), "artifacts": plans}, indent=1))
    else:
        typer.echo(f"{folder / 'engine.plan'}\nnext: edge-scnet profile {folder / 'engine.plan'}")


def _stage_command(stage: Stage, summary: str) -> None:
    """One command a stage: the same pipeline, ended early."""

    def run(
        model: Model = None, target: Target = "cpu", calib: Calib = None, out: Out = None, batch: Batch = None,
        skip_bad: SkipBad = False, as_json: AsJson = False, arch: Arch = None, num_classes: NumClasses = None,
        channels: Channels = None, input_size: InputSize = None, resize: Resize = None, mean: Mean = None, std: Std = None,
        class_names: ClassNames = None, name: Name = None,
    ) -> None:  # fmt: skip
        if stage == "compile" and model is not None and model.endswith((".tar.gz", ".tgz")):
            _compile_bundle(Path(model), out, as_json=as_json)
            return
        options = _model_options(arch, num_classes, channels, input_size, resize, mean, std, class_names, name)
        result = _run(stage, model, target, calib, None, out, options, batch, skip_bad=skip_bad)
        files = {n: a for n, a in result.manifest.artifacts.items() if a.stage == stage}
        if as_json:
            from dataclasses import asdict

            typer.echo(json.dumps({"folder": str(result.folder), "artifacts": [asdict(a) for a in files.values()]}, indent=1))
        else:
            for file in files:
                typer.echo(str(result.folder / file))

    run.__doc__ = summary
    command(stage)(run)


_stage_command("export", "Export to ONNX with parity proven, and stop there.")
_stage_command("calibrate", "Export and collect statistics over the calibration images, and stop there.")
_stage_command("quantize", "Export, calibrate and write the Q/DQ graph, and stop there.")
_stage_command("compile", "Everything but the measuring. On a board, MODEL may be the bundle.tar.gz that a build made for it.")


@command("sensitivity")
def sensitivity(
    model: Model = None, target: Target = "cpu", calib: Calib = None, out: Out = None, gain: Gain = None,
    min_sqnr: MinSqnr = None, max_drop: MaxDrop = None, budget: Budget = 300.0,
    skip_bad: SkipBad = False, as_json: AsJson = False, arch: Arch = None, num_classes: NumClasses = None,
    channels: Channels = None, input_size: InputSize = None, resize: Resize = None, mean: Mean = None, std: Std = None,
    class_names: ClassNames = None, name: Name = None,
) -> None:  # fmt: skip
    """Show which modules cost accuracy; with --gain, --min-sqnr or --max-drop search the fastest mix that keeps it.

    Both on the calibration images. What was measured is kept in sensitivity.json: a second call goes on from there. Exit code
    10: nothing measured keeps the limit.
    """
    from edge_scnet.cli import console
    from edge_scnet.models import zoo
    from edge_scnet.pipeline import build as pipeline
    from edge_scnet.report import run_report as report
    from edge_scnet.sensitivity.search import Limit

    options = _model_options(arch, num_classes, channels, input_size, resize, mean, std, class_names, name)
    asked = gain is not None or min_sqnr is not None or max_drop is not None
    limit = Limit(min_sqnr_db=min_sqnr, min_gain_db=gain, max_drop_pp=max_drop) if asked else None
    events = console.events()
    try:
        result = pipeline.sensitivity(
            model or zoo.DEFAULT_MODEL, target=target, calib=calib, out=out, model_options=options, limit=limit,
            budget_seconds=budget, skip_bad=skip_bad, events=events,
        )  # fmt: skip
    finally:
        events.close()
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps({**asdict(result), "pareto": [asdict(c) for c in result.pareto]}, indent=1))
    else:
        typer.echo(report.search_table(result))
    if asked and result.chosen is None:
        raise typer.Exit(10)


@command("profile")
def profile(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="A build folder, or an engine or ONNX file in one; several with --interleave."),
    ],
    evaluation: Eval = None, seconds: Seconds = 3.0, max_drop: MaxDrop = None, skip_bad: SkipBad = False,
    ignore_labels: IgnoreLabels = False, batches: Batches = None, threads: Threads = None,
    interleave: Annotated[
        bool, typer.Option("--interleave", help="Time several engines together, and say whether they differ.")
    ] = False,
    cuda_graph: Annotated[
        bool, typer.Option("--cuda-graph", help="Plans enqueue an inference as one CUDA graph, as trtexec does here.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure engines: latency, throughput, end to end, memory, accuracy.

    A build folder's report.json is renewed, also by a board's results.tar.gz in it; of a single file, measured beside its FP32
    reference, nothing is saved. Without --eval the images of the build are used. Exit codes as build's. Ctrl-C prints what was
    measured up to then, and writes a build folder's to report.partial.json.
    """
    from edge_scnet.cli import console
    from edge_scnet.pipeline import build_folder as engines

    if interleave and (batches or threads):
        raise typer.BadParameter("--batch and --threads are of one build's engines: leave --interleave out")
    if interleave:
        cli_compare.interleaved(paths, seconds=seconds, as_json=as_json)
        return
    if len(paths) > 1:
        raise typer.BadParameter("several engines are timed together: add --interleave")
    path = paths[0]
    if path.name == "results.tar.gz":
        if batches or threads or cuda_graph:
            raise typer.BadParameter("a board's results are what was timed there: leave --batch, --threads, --cuda-graph out")
        from edge_scnet.profiler.board_results import profile_results

        _show_report(profile_results(path, max_drop_pp=max_drop), as_json=as_json, saved=True)
        return
    events = console.events()
    try:
        result = engines.profile(
            path, evaluation=evaluation, seconds=seconds, max_drop_pp=max_drop, skip_bad=skip_bad, ignore_labels=ignore_labels,
            cuda_graph=cuda_graph, batches=batches or (), threads=threads or (), events=events,
        )  # fmt: skip
    finally:
        events.close()
    _show_report(result, as_json=as_json, saved=path.is_dir())


@command("inspect")
def inspect(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A Q/DQ ONNX file, ours or made by another quantizer.")],
    target: Target = "cpu",
    as_json: AsJson = False,
) -> None:
    """Check a Q/DQ file against a target: what its runtime refuses, computes wrongly or runs slowly, and the fix.

    Exit code: 0 nothing that would be wrong; 6 errors.
    """
    from dataclasses import asdict

    from edge_scnet.pipeline import build_folder as engines

    findings = engines.inspect(path, target)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        alike: dict[tuple[str, str, str], list[str]] = {}
        for finding in findings:
            alike.setdefault((finding.severity, finding.problem, finding.fix), []).append(finding.node)
        for (severity, problem, fix), nodes in alike.items():
            others = f" and {len(nodes) - 3} more (--json)" if len(nodes) > 3 else ""
            typer.echo(f"{severity}: {', '.join(nodes[:3])}{others}: {problem}\n    {fix}")
        errors = sum(finding.severity == "error" for finding in findings)
        typer.echo(f"{path}: {errors} errors, {len(findings) - errors} warnings for target {target}")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(6)


@command("predict")
def predict(
    path: Built,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to print.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Classify images with an engine, through the preprocessing it was built with."""
    from edge_scnet.pipeline import build_folder as engines

    predictions = engines.predict(path, images, top=top)
    if as_json:
        rows = [
            {"image": str(p.image), "top": [{"class": name, "probability": round(share, 6)} for name, share in p.top]}
            for p in predictions
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for prediction in predictions:
        typer.echo(f"{prediction.image}: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in prediction.top))


cli_machine.add_to(app)
cli_gate.add_to(app)
cli_compare.add_to(app)


def main() -> None:
    interrupts.heed()
    app(prog_name="edge-scnet")
