"""Build, export, calibrate, quantize, compile, sensitivity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import (
    Arch,
    AsJson,
    Batch,
    Budget,
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
)
from edge_scnet.cli.show import show_report

if TYPE_CHECKING:
    from edge_scnet.config.model_options import ModelOptions
    from edge_scnet.pipeline.result import BuildResult
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
    """Registers the commands that build."""
    app.command("build")(guarded(build))
    for stage, summary in _STAGES.items():
        app.command(stage)(guarded(_stage_command(stage, summary)))
    app.command("sensitivity")(guarded(sensitivity))


def _model_options(
    arch: str | None,
    num_classes: int | None,
    channels: int | None,
    input_size: int | None,
    resize: int | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    class_names: Path | None,
    name: str | None,
) -> ModelOptions:
    from edge_scnet.config.model_options import ModelOptions
    from edge_scnet.errors import DataError

    names = None
    if class_names is not None:
        try:
            names = tuple(
                line.strip()
                for line in class_names.read_text(encoding="utf-8").splitlines()
                if line.strip()
            )
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"--class-names {class_names} cannot be read: {error}",
                hint="a text file, one name per line",
            ) from error
    return ModelOptions(
        arch=arch,
        num_classes=num_classes,
        channels=channels,
        input_size=input_size,
        resize=resize,
        mean=mean,
        std=std,
        class_names=names,
        name=name,
    )


def build(
    model: Model = None,
    target: Target = "cpu",
    calib: Calib = None,
    evaluation: Eval = None,
    out: Out = None,
    batch: Batch = None,
    qdq: Qdq = None,
    max_drop: MaxDrop = None,
    search_seconds: SearchSeconds = None,
    seconds: Seconds = 3.0,
    skip_bad: SkipBad = False,
    ignore_labels: IgnoreLabels = False,
    as_json: AsJson = False,
    arch: Arch = None,
    num_classes: NumClasses = None,
    channels: Channels = None,
    input_size: InputSize = None,
    resize: Resize = None,
    mean: Mean = None,
    std: Std = None,
    class_names: ClassNames = None,
    name: Name = None,
) -> None:
    """Build, prove and measure the INT8 engine of a model. Default model: scnet20 on Fashion-MNIST,
    bundled with its data.

    Exit code: 0 ship; 10 accuracy beyond --max-drop; 11 accurate, but slower than FP32; 13 too few
    images; errors 3 to 9.
    """
    options = _model_options(
        arch, num_classes, channels, input_size, resize, mean, std, class_names, name
    )
    result = _run(
        "profile",
        model,
        target,
        calib,
        evaluation,
        out,
        options,
        batch,
        max_drop_pp=max_drop,
        seconds=seconds,
        search_seconds=search_seconds,
        qdq=qdq,
        skip_bad=skip_bad,
        ignore_labels=ignore_labels,
    )
    show_report(result, as_json=as_json, saved=True)


def _run(
    until: Stage,
    model: str | None,
    target: str,
    calib: Path | None,
    evaluation: Path | None,
    out: Path | None,
    options: ModelOptions,
    batch: Any,
    **settings: Any,
) -> BuildResult:
    from edge_scnet.cli import console
    from edge_scnet.models import zoo
    from edge_scnet.pipeline import build as pipeline

    events = console.events()
    try:
        return pipeline.build(
            model or zoo.DEFAULT_MODEL,
            target=target,
            calib=calib,
            evaluation=evaluation,
            out=out,
            model_options=options,
            batch=batch,
            until=until,
            events=events,
            **settings,
        )
    finally:
        events.close()


def _compile_bundle(path: Path, out: Path | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from edge_scnet.cli import console
    from edge_scnet.pipeline.board import compile_bundle

    events = console.events()
    try:
        folder, manifest = compile_bundle(path, out or Path("build"), events=events)
    finally:
        events.close()
    if as_json:
        plans = [asdict(entry) for entry in manifest.artifacts.values() if entry.stage == "compile"]
        typer.echo(json.dumps({"folder": str(folder), "artifacts": plans}, indent=1))
    else:
        typer.echo(f"{folder / 'engine.plan'}\nnext: edge-scnet profile {folder / 'engine.plan'}")


def _stage_command(stage: Stage, summary: str) -> Callable[..., None]:
    """One command a stage: the same pipeline, ended early."""

    def run(
        model: Model = None,
        target: Target = "cpu",
        calib: Calib = None,
        out: Out = None,
        batch: Batch = None,
        skip_bad: SkipBad = False,
        as_json: AsJson = False,
        arch: Arch = None,
        num_classes: NumClasses = None,
        channels: Channels = None,
        input_size: InputSize = None,
        resize: Resize = None,
        mean: Mean = None,
        std: Std = None,
        class_names: ClassNames = None,
        name: Name = None,
    ) -> None:
        if stage == "compile" and model is not None and model.endswith((".tar.gz", ".tgz")):
            _compile_bundle(Path(model), out, as_json=as_json)
            return
        options = _model_options(
            arch, num_classes, channels, input_size, resize, mean, std, class_names, name
        )
        result = _run(stage, model, target, calib, None, out, options, batch, skip_bad=skip_bad)
        files = {n: a for n, a in result.manifest.artifacts.items() if a.stage == stage}
        if as_json:
            from dataclasses import asdict

            typer.echo(
                json.dumps(
                    {
                        "folder": str(result.folder),
                        "artifacts": [asdict(a) for a in files.values()],
                    },
                    indent=1,
                )
            )
        else:
            for file in files:
                typer.echo(str(result.folder / file))

    run.__doc__ = summary
    return run


def sensitivity(
    model: Model = None,
    target: Target = "cpu",
    calib: Calib = None,
    out: Out = None,
    gain: Gain = None,
    min_sqnr: MinSqnr = None,
    max_drop: MaxDrop = None,
    budget: Budget = 300.0,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
    arch: Arch = None,
    num_classes: NumClasses = None,
    channels: Channels = None,
    input_size: InputSize = None,
    resize: Resize = None,
    mean: Mean = None,
    std: Std = None,
    class_names: ClassNames = None,
    name: Name = None,
) -> None:
    """Show which modules cost accuracy; with --gain, --min-sqnr or --max-drop search the fastest
    mix that keeps it.

    Both on the calibration images. What was measured is kept in sensitivity.json: a second call
    goes on from there. Exit code 10: nothing measured keeps the limit.
    """
    from edge_scnet.cli import console
    from edge_scnet.models import zoo
    from edge_scnet.pipeline import sensitivity as pipeline_sensitivity
    from edge_scnet.sensitivity.result import Limit
    from edge_scnet.sensitivity.show import search_table

    options = _model_options(
        arch, num_classes, channels, input_size, resize, mean, std, class_names, name
    )
    asked = gain is not None or min_sqnr is not None or max_drop is not None
    limit = Limit(min_sqnr_db=min_sqnr, min_gain_db=gain, max_drop_pp=max_drop) if asked else None
    events = console.events()
    try:
        result = pipeline_sensitivity.sensitivity(
            model or zoo.DEFAULT_MODEL,
            target=target,
            calib=calib,
            out=out,
            model_options=options,
            limit=limit,
            budget_seconds=budget,
            skip_bad=skip_bad,
            events=events,
        )
    finally:
        events.close()
    if as_json:
        from dataclasses import asdict

        typer.echo(
            json.dumps({**asdict(result), "pareto": [asdict(c) for c in result.pareto]}, indent=1)
        )
    else:
        typer.echo(search_table(result))
    if asked and result.chosen is None:
        raise typer.Exit(10)
