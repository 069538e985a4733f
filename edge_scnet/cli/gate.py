"""The commands of the gate: `check`, `baseline update`, `verify`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_scnet.cli.guard import guarded, printing, show
from edge_scnet.cli.options import AsJson
from edge_scnet.cli.show import color_of, results_console

if TYPE_CHECKING:
    from edge_scnet.gate.check import Checked

Reports = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="REPORT", help="report.json files, or build folders.", show_default=False
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        "-b",
        metavar="FILE",
        help="A baseline, or a folder of them: <model>-<target>.json.",
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="KEY=VALUE",
        help="A limit of [gates], over the baseline's, such as max_sqnr_fall_db=2.",
    ),
]
ProjectFile = Annotated[
    Path | None, typer.Option("--project", metavar="FILE", help="Default: edge-scnet.toml here.")
]
Build = Annotated[
    bool, typer.Option("--build", help="Build what edge-scnet.toml names, then check it.")
]

_baseline = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Write baselines, and change them with a reason.",
)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("check")(guarded(check))
    _baseline.command("update")(guarded(update))
    app.add_typer(_baseline, name="baseline")
    app.command("verify")(guarded(verify))


def check(
    reports: Reports = None,
    baseline: Baseline = None,
    limit: Limits = None,
    build: Build = False,
    project: ProjectFile = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Where accuracy fails, name the modules that cost most. Takes a minute or more.",
        ),
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write a summary in Markdown.")
    ] = None,
    gitlab: Annotated[
        Path | None,
        typer.Option("--gitlab", metavar="FILE", help="Write GitLab's code quality JSON."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold reports to their baselines: accuracy, what was quantized, size, and on the same machine
    speed and memory.

    With --build the engines are built first, as edge-scnet.toml says. In a GitHub workflow findings
    become annotations and a job summary. Exit code: 0 no regression; 10 accuracy; 11 speed, size or
    memory; 12 not comparable; 13 cannot tell.
    """
    from edge_scnet.cli import console
    from edge_scnet.core.files import write_text
    from edge_scnet.gate import check as checking
    from edge_scnet.gate import publish

    if project is not None and not build:
        raise typer.BadParameter("--project is of --build, which is missing")
    limits = _limits(limit)
    with console.events() as events:
        if build:
            results = checking.check_project(
                _project(reports, baseline, project), limits=limits, events=events
            )
        else:
            results = checking.check(
                reports or (), against=_named(baseline), limits=limits, events=events
            )
        explained = [_explained(result, events) for result in results] if explain else []
    with printing():
        if as_json:
            _print_json(results, explained)
        else:
            _print(results, explained)
    for file, text in (
        (junit, publish.junit),
        (markdown, publish.markdown),
        (gitlab, publish.gitlab),
    ):
        if file is not None:
            write_text(file, text(results))
    _in_github(results)
    if code := min((result.exit_code for result in results if result.exit_code), default=0):
        raise typer.Exit(code)


def _project(reports: list[Path] | None, baseline: Path | None, project: Path | None) -> Any:
    from edge_scnet.config import project as projects

    if reports or baseline:
        raise typer.BadParameter(
            "--build takes reports and baselines from the project file; leave REPORT and"
            " --baseline out"
        )
    return projects.load(project or Path(projects.FILE))


def _named(baseline: Path | None) -> Path:
    if baseline is None:
        raise typer.BadParameter(
            "--baseline FILE is missing (or --build, to build and check what edge-scnet.toml names)"
        )
    return baseline


def _limits(given: list[str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given or ():
        key, sign, value = text.partition("=")
        try:
            found[key.strip()] = float(value)
        except ValueError:
            raise typer.BadParameter(f"--limit {text!r} is not KEY=NUMBER") from None
        if not sign:
            raise typer.BadParameter(f"--limit {text!r} is not KEY=NUMBER")
    return found


def _explained(result: Checked, events: Any) -> list[str]:
    from edge_scnet.errors import EdgeError, ExitCode
    from edge_scnet.pipeline import explain

    if not any(finding.exit_code == ExitCode.ACCURACY for finding in result.findings):
        return []
    try:
        return explain.explain(result.report, result.report_file.parent, events=events)
    except EdgeError as error:
        # the verdict stands without its explanation
        return [f"not explained: {error.message}"]


def _print(results: tuple[Checked, ...], explained: list[list[str]]) -> None:
    from edge_scnet.gate import publish

    console = results_console()
    for index, result in enumerate(results):
        console.print(publish.table(result))
        console.print(
            result.headline, style=color_of(result.exit_code), markup=False, soft_wrap=True
        )
        for line in (
            *publish.lines(result),
            *map(publish.one_line, explained[index] if explained else ()),
        ):
            console.print(line, markup=False, soft_wrap=True)
        if index + 1 < len(results):
            console.print()


def _print_json(results: tuple[Checked, ...], explained: list[list[str]]) -> None:
    from dataclasses import asdict

    rows = [
        {
            "report": str(result.report_file),
            "baseline": str(result.baseline_file),
            "model": result.report.model,
            "target": result.report.target,
            "exit_code": result.exit_code,
            "headline": result.headline,
            "findings": [asdict(finding) for finding in result.findings],
            "advice": list(result.advice),
            "explanation": explained[index] if explained else None,
        }
        for index, result in enumerate(results)
    ]
    typer.echo(json.dumps(rows, indent=1, allow_nan=False))


def _in_github(results: tuple[Checked, ...]) -> None:
    """Annotations go to stderr: a runner reads both streams, and stdout may be JSON."""
    from edge_scnet.gate import publish

    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in publish.github(results):
        typer.echo(line, err=True)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(publish.markdown(results))


def update(
    reports: Reports = None,
    baseline: Baseline = None,
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept", metavar="REASON", help="Why the bar may be lowered; kept in the file."
        ),
    ] = None,
    limit: Limits = None,
    build: Build = False,
    project: ProjectFile = None,
    as_json: AsJson = False,
) -> None:
    """Write the baselines of reports, or renew them: shows what changes, and asks for a reason
    where something gets worse.
    """
    from dataclasses import asdict

    from edge_scnet.cli import console
    from edge_scnet.config import project as projects
    from edge_scnet.config.target import Gates
    from edge_scnet.errors import ArtifactError
    from edge_scnet.gate import baseline as baselines
    from edge_scnet.gate import check as checking
    from edge_scnet.report.store import load_report

    limits = _limits(limit)
    if build:
        located = _project(reports, baseline, project)
        with console.events() as events:
            files = list(checking.build_project(located, events=events))
        folder, limits = located.path(located.project.baselines), {**located.limits, **limits}
    else:
        files, folder = [checking.report_file(path) for path in reports or ()], _named(baseline)
    if not files:
        raise ArtifactError(
            "no reports",
            hint="edge-scnet baseline update build/MODEL/TARGET/report.json --baseline FILE",
        )
    told = []
    for file in files:
        report = load_report(file)
        path = baselines.file_of(folder, report)
        is_new = not path.exists()
        changes = baselines.update(
            path, report, projects.with_limits(report.gates or Gates(), limits), accept=accept
        )
        if doubt := baselines.doubt(report):
            typer.echo(f"warning: {path}: {doubt}", err=True)
        told.append(
            {
                "baseline": str(path),
                "new": is_new,
                "changes": [asdict(change) for change in changes],
            }
        )
        if not as_json:
            renewed = "renewed" if changes else "renewed, no figure changed"
            typer.echo(f"{path}: {'written' if is_new else renewed}")
            for change in changes:
                mark = "lower" if change.loss else "     "
                arrow = f"{change.before} -> {change.after}" if change.before else change.after
                typer.echo(f"  {mark} {change.what}: {arrow}")
    if as_json:
        typer.echo(json.dumps(told, indent=1))


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Baselines (.json), targets and project files (.toml)."
        ),
    ],
) -> None:
    """Check that baselines were not edited by hand, and that target and project files hold what
    they may. For pre-commit.
    """
    from edge_scnet.config import project as projects
    from edge_scnet.config.target import read_target
    from edge_scnet.errors import ArtifactError, EdgeError
    from edge_scnet.gate import baseline as baselines

    failed: list[EdgeError] = []
    for file in files:
        try:
            if file.name == projects.FILE:
                projects.load(file)
            elif file.suffix == ".toml":
                read_target(file)
            elif file.suffix == ".json":
                baselines.load(file)
            else:
                raise ArtifactError(
                    f"{file} is neither a baseline (.json) nor a target (.toml)",
                    hint="name only such files",
                )
        except EdgeError as error:
            failed.append(error)
    for other in failed[1:]:
        show(other)
    if failed:
        raise failed[0]
    typer.echo(f"{len(files)} files are as they should be")
