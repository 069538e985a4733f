"""Profile, inspect, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_scnet.cli import reports as cli_compare
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import (
    AsJson,
    Batches,
    Built,
    Eval,
    IgnoreLabels,
    MaxDrop,
    Seconds,
    SkipBad,
    Target,
    Threads,
)
from edge_scnet.cli.show import show_result
from edge_scnet.errors import ExitCode


def add_to(app: typer.Typer) -> None:
    """Registers the commands on what was built."""
    app.command("profile")(guarded(profile))
    app.command("inspect")(guarded(inspect))
    app.command("predict")(guarded(predict))


def profile(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="A build folder, or an engine or ONNX file in one; several with --interleave.",
        ),
    ],
    evaluation: Eval = None,
    seconds: Seconds = 3.0,
    max_drop: MaxDrop = None,
    skip_bad: SkipBad = False,
    ignore_labels: IgnoreLabels = False,
    batches: Batches = None,
    threads: Threads = None,
    interleave: Annotated[
        bool,
        typer.Option(
            "--interleave", help="Time several engines together, and say whether they differ."
        ),
    ] = False,
    cuda_graph: Annotated[
        bool,
        typer.Option(
            "--cuda-graph",
            help="Plans enqueue an inference as one CUDA graph, as trtexec does here.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure engines: latency, throughput, end to end, memory, accuracy.

    A build folder's report.json is renewed, also by a board's results.tar.gz in it; of a single
    file, measured beside its FP32 reference, nothing is saved. Without --eval the images of the
    build are used. Exit codes as build's. Ctrl-C prints what was measured up to then, and writes a
    build folder's to report.partial.json.
    """
    from edge_scnet.cli import console
    from edge_scnet.pipeline import profile as pipeline_profile

    if interleave and (batches or threads):
        raise typer.BadParameter(
            "--batch and --threads are of one build's engines: leave --interleave out"
        )
    if interleave:
        cli_compare.interleaved(paths, seconds=seconds, as_json=as_json)
        return
    if len(paths) > 1:
        raise typer.BadParameter("several engines are timed together: add --interleave")
    path = paths[0]
    if path.name == "results.tar.gz":
        if batches or threads or cuda_graph:
            raise typer.BadParameter(
                "a board's results are what was timed there: leave --batch, --threads,"
                " --cuda-graph out"
            )
        from edge_scnet.pipeline.board import profile_results

        show_result(profile_results(path, max_drop_pp=max_drop), as_json=as_json, saved=True)
        return
    with console.events() as events:
        result = pipeline_profile.profile(
            path,
            evaluation=evaluation,
            seconds=seconds,
            max_drop_pp=max_drop,
            skip_bad=skip_bad,
            ignore_labels=ignore_labels,
            cuda_graph=cuda_graph,
            batches=batches or (),
            threads=threads or (),
            events=events,
        )
    show_result(result, as_json=as_json, saved=path.is_dir())


def inspect(
    path: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A Q/DQ ONNX file, ours or made by another quantizer."),
    ],
    target: Target = "cpu",
    as_json: AsJson = False,
) -> None:
    """Check a Q/DQ file against a target: what its runtime refuses, computes wrongly or runs
    slowly, and the fix.

    Exit code: 0 nothing that would be wrong; 6 errors.
    """
    from dataclasses import asdict

    from edge_scnet.pipeline import inspect as pipeline_inspect

    findings = pipeline_inspect.inspect(path, target)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        alike: dict[tuple[str, str, str], list[str]] = {}
        for finding in findings:
            alike.setdefault((finding.severity, finding.problem, finding.fix), []).append(
                finding.node
            )
        for (severity, problem, fix), nodes in alike.items():
            others = f" and {len(nodes) - 3} more (--json)" if len(nodes) > 3 else ""
            typer.echo(f"{severity}: {', '.join(nodes[:3])}{others}: {problem}\n    {fix}")
        errors = sum(finding.severity == "error" for finding in findings)
        typer.echo(
            f"{path}: {errors} errors, {len(findings) - errors} warnings for target {target}"
        )
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(ExitCode.ARTIFACT)


def predict(
    path: Built,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to print.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Classify images with an engine, through the preprocessing it was built with."""
    from edge_scnet.pipeline import predict as pipeline_predict

    predictions = pipeline_predict.predict(path, images, top=top)
    if as_json:
        rows = [
            {
                "image": str(p.image),
                "top": [{"class": name, "probability": round(share, 6)} for name, share in p.top],
            }
            for p in predictions
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for prediction in predictions:
        typer.echo(
            f"{prediction.image}: "
            + ", ".join(f"{name} {100 * share:.1f} %" for name, share in prediction.top)
        )
