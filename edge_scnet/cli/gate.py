"""The commands of the gate: `check`, `baseline update`, `verify`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_scnet.cli import console, outputs
from edge_scnet.cli.command_help import HelpfulCommand, HelpfulGroup, told
from edge_scnet.cli.device import with_device
from edge_scnet.cli.guard import guarded, show_error
from edge_scnet.cli.options import AsJson, Wait, command_line
from edge_scnet.cli.printer import say, tell_commands
from edge_scnet.cli.project_option import ProjectCommand, ProjectFile
from edge_scnet.cli.show import show_checked, show_checked_json, show_updated
from edge_scnet.errors import ArtifactError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_scnet.config.project import Located
    from edge_scnet.core.events import Events
    from edge_scnet.errors import EdgeError
    from edge_scnet.gate.check import Result
    from edge_scnet.report.run_report import RunReport

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
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="KIND",
        help=(
            "What may differ from the baseline, as after training anew: checkpoint, images (of the"
            " evaluation), calibration, preprocessing or settings. The limits hold. Again for"
            " others."
        ),
    ),
]
Build = Annotated[
    bool, typer.Option("--build", help="Build what edge-scnet.toml names, then check it.")
]

_baseline = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Write baselines, and change them with a reason.",
)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("check", cls=ProjectCommand, **told("check"))(guarded(with_device(check)))
    _baseline.command("update", cls=ProjectCommand, **told("baseline update"))(guarded(update))
    app.add_typer(_baseline, name="baseline", **told("baseline"))
    app.command("verify", cls=HelpfulCommand, **told("verify"))(guarded(verify))


def check(
    reports: Reports = None,
    baseline: Baseline = None,
    limit: Limits = None,
    allow: Allow = None,
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
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Hold reports to their baselines: accuracy, what was quantized, size, and on the same machine
    speed and memory.

    With --build the engines are built first, as edge-scnet.toml says. In a GitHub workflow findings
    become annotations and a job summary. Exit code: 0 no regression; 10 accuracy; 11 speed, size or
    memory; 12 not comparable; 13 cannot tell; of several reports an error's goes before these,
    and of each the lowest counts.
    """
    from edge_scnet.config.project import allowed_kinds, with_limits
    from edge_scnet.config.target import Gates
    from edge_scnet.gate import check as checking

    if project is not None and not build:
        raise typer.BadParameter("--project is for --build, which is missing")
    limits, allowed = _parsed_limits(limit), allowed_kinds(allow or (), checking.ALLOW)
    with_limits(Gates(), limits)
    with console.events() as events:
        if build:
            from edge_scnet.gate.project import check_project

            results = check_project(
                _project(reports, baseline, project),
                limits=limits,
                allowed=allowed,
                wait=wait,
                events=events,
                command=command_line(),
            )
        else:
            known = _required(baseline)
            results = checking.check_each(
                [
                    checking.Asked(report=path, against=known, limits=limits, allowed=allowed)
                    for path in reports or ()
                ],
                time_again=_time_again,
                events=events,
            )
        explained = [_explained(result, events) for result in results] if explain else []
    errors = [result.error for result in results if isinstance(result, checking.Unchecked)]
    is_error = len(results) == 1 and bool(errors)
    if not is_error and not as_json:
        show_checked(results, explained)
    _publish(results, junit=junit, markdown=markdown, gitlab=gitlab)
    if is_error:
        raise errors[0]
    if as_json:
        # last: where a file cannot be written, stdout holds that failure and nothing else
        show_checked_json(results, explained)
    # a fault of the data is one of all targets
    for error in {error.message: error for error in errors}.values():
        show_error(error, with_hint=True)
    if code := checking.exit_code_of(results):
        raise typer.Exit(code)


def _time_again(
    path: Path, report: RunReport, *, factor: float, events: Events | None
) -> RunReport | None:
    """Imports the profiler, and NumPy with it, only where something must be measured again."""
    from edge_scnet.pipeline.profile import time_again

    return time_again(path, report, factor=factor, events=events)


def _project(reports: list[Path] | None, baseline: Path | None, project: Path | None) -> Located:
    from edge_scnet.config import project as projects

    if reports or baseline:
        raise typer.BadParameter(
            "--build takes reports and baselines from the project file; leave REPORT and"
            " --baseline out"
        )
    return projects.load(projects.file_of(project or Path(projects.FILE)))


def _required(baseline: Path | None) -> Path:
    if baseline is None:
        raise typer.BadParameter(
            "--baseline FILE is missing (or --build, to build and check what edge-scnet.toml names)"
        )
    return baseline


def _parsed_limits(texts: list[str] | None) -> dict[str, float]:
    limits = {}
    for text in texts or ():
        key, _, value = (part.strip() for part in text.partition("="))
        try:
            limits[key] = float(value)
        except ValueError:
            key = ""
        if not key:
            raise typer.BadParameter(f"--limit {text!r} is not KEY=NUMBER, such as max_drop_pp=0.5")
    return limits


def _explained(result: Result, events: Events) -> list[str]:
    """Which modules accuracy fails for, in sentences; nothing where it does not fail."""
    from edge_scnet.errors import EdgeError
    from edge_scnet.gate.check import Unchecked
    from edge_scnet.pipeline import explain

    if isinstance(result, Unchecked):
        return []
    if not any(finding.exit_code == ExitCode.ACCURACY for finding in result.findings):
        return []
    try:
        return explain.explain(result.report, result.report_file.parent, events=events)
    except EdgeError as error:
        # the verdict stands without its explanation
        return [f"not explained: {error.message}"]


def _publish(
    results: tuple[Result, ...], *, junit: Path | None, markdown: Path | None, gitlab: Path | None
) -> None:
    """Writes the files that were asked for, and tells a GitHub workflow."""
    from edge_scnet.core.output_file import write_output
    from edge_scnet.gate import publish

    for file, text in (
        (junit, publish.junit),
        (markdown, publish.markdown),
        (gitlab, publish.gitlab),
    ):
        if file is not None:
            write_output(file, text(results))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(results)


def _tell_github(results: tuple[Result, ...]) -> None:
    """Annotates the run of a workflow and adds to its summary.

    Annotations go to stderr: a runner reads both streams, and stdout may be JSON.
    """
    from edge_scnet.gate import publish

    tell_commands(publish.github(results))
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
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Write the baselines of reports, or renew them: shows what changes, and asks for a reason
    where something gets worse.
    """
    from edge_scnet.gate.update import update_from

    limits = _parsed_limits(limit)
    if build:
        from edge_scnet.gate.project import build_project

        located = _project(reports, baseline, project)
        with console.events() as events:
            files = list(build_project(located, wait=wait, events=events, command=command_line()))
        baselines = located.path(located.project.baselines)
        limits = {**located.limits, **limits}
    else:
        files, baselines = list(reports or ()), _required(baseline)
    if not files:
        raise ArtifactError(
            "no reports",
            hint="edge-scnet baseline update build/MODEL/TARGET/report.json --baseline FILE",
        )
    updates = []
    for file in files:
        updates.append(update_from(file, baselines=baselines, limits=limits, accept=accept))
        # one at a time: those before a refused one are written
        show_updated(updates[-1], quiet=as_json)
    if as_json:
        from edge_scnet.cli.outputs.gate import UpdatedBaseline, Updates

        written = (
            UpdatedBaseline(
                baseline=str(updated.file),
                new=updated.is_new,
                changes=updated.changes,
                doubt=updated.doubt,
            )
            for updated in updates
        )
        outputs.show("baseline-update", Updates(baselines=tuple(written)))


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Baselines (.json), targets and project files (.toml)."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check that baselines were not edited by hand, and that target and project files hold what
    they may. For pre-commit.
    """
    from edge_scnet.gate.update import faults_of

    faults = faults_of(files)
    if as_json:
        _show_verified(len(files), faults)
        for fault in faults:
            show_error(fault)
        raise typer.Exit(faults[0].exit_code if faults else ExitCode.OK)
    for other in faults[1:]:
        show_error(other)
    if faults:
        raise faults[0]
    say(f"verified: {len(files)} {'file' if len(files) == 1 else 'files'}, no faults")


def _show_verified(files: int, faults: Sequence[EdgeError]) -> None:
    from edge_scnet.cli.outputs.gate import Fault, Verified

    found = (
        Fault(error=fault.message, hint=fault.hint, exit_code=int(fault.exit_code))
        for fault in faults
    )
    outputs.show("verify", Verified(files=files, faults=tuple(found)))
