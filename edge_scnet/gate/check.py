"""The gate as commands use it: reports in, findings out, an excess of time measured again before it
counts.

`check` reads JSON and judges; no runtime is imported unless something must be measured again.
`check_project` builds first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.config.project import Located, with_limits
from edge_scnet.config.target import Gates
from edge_scnet.core import manifest as artifact
from edge_scnet.core.manifest import REPORT
from edge_scnet.errors import ArtifactError, ExitCode
from edge_scnet.gate import baseline, regression
from edge_scnet.gate.baseline import Baseline
from edge_scnet.machine import environment
from edge_scnet.report import findings as report_findings
from edge_scnet.report.findings import Finding, Kind
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import load_report

if TYPE_CHECKING:
    from edge_scnet.core.events import Events

# Another measurement of what looked slower takes this many times as long.
_AGAIN = 2.0
# Figures that another measurement can change.
_TIMED: frozenset[Kind] = frozenset({"speed", "memory"})

_HEADLINES = {
    ExitCode.OK: "no regression",
    ExitCode.ACCURACY: "accuracy",
    ExitCode.SPEED: "speed, size or memory",
    ExitCode.INCOMPARABLE: "not comparable",
    ExitCode.INCONCLUSIVE: "cannot tell",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One report, judged."""

    report_file: Path
    baseline_file: Path
    report: RunReport
    findings: tuple[Finding, ...]

    @property
    def title(self) -> str:
        return f"{self.report.model} for {self.report.target}"

    @property
    def exit_code(self) -> int:
        return report_findings.exit_code(self.findings)

    @property
    def headline(self) -> str:
        words = _HEADLINES[ExitCode(self.exit_code)]
        count = sum(finding.exit_code != 0 for finding in self.findings)
        return f"{words} ({count} of {len(self.findings)} findings)" if count else words

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do next, where there is something."""
        update = f"edge-scnet baseline update {self.report_file} --baseline {self.baseline_file}"
        if any(finding.improved for finding in self.findings) and not self.exit_code:
            better = ", ".join(finding.metric for finding in self.findings if finding.improved)
            return (f"better than the baseline ({better}); to hold later ones to it: {update}",)
        if any(finding.kind == "identity" for finding in self.findings):
            right = f"{self.report.model}-{self.report.target}.json"
            return (
                (
                    f"name this report's own baseline, {right}, or the folder it lies in:"
                    f" --baseline {self.baseline_file.parent}"
                ),
            )
        other_inputs = any(finding.exit_code == ExitCode.INCOMPARABLE for finding in self.findings)
        if other_inputs and self.report.complete:
            return (f'if that is meant: {update} --accept "REASON"',)
        return ()


def check(
    reports: Sequence[Path | str],
    *,
    against: Path | str,
    limits: dict[str, Any] | None = None,
    again: bool = True,
    events: Events | None = None,
) -> tuple[Checked, ...]:
    """Holds reports to their baselines.

    Args:
        reports: report.json files, or build folders that hold one.
        against: a baseline's file, or a folder of them named `<model>-<target>.json`.
        limits: limits set over the baseline's, by name.
        again: measure again what looks too slow, where its engines lie beside the report.

    Raises:
        ArtifactError: no report or baseline, damaged, edited by hand; limits that contradict the
            baseline.
        TargetError: no such limit.
    """
    if not reports:
        raise ArtifactError(
            "no reports to check",
            hint="edge-scnet check build/MODEL/TARGET/report.json --baseline FILE",
        )
    return tuple(
        _check_one(report_file(Path(r)), Path(against), limits or {}, again=again, events=events)
        for r in reports
    )


def report_file(path: Path) -> Path:
    return path / REPORT if path.is_dir() else path


def _check_one(
    file: Path, against: Path, limits: dict[str, Any], *, again: bool, events: Events | None
) -> Checked:
    report = load_report(file)
    where = baseline.file_of(against, report)
    known = baseline.load(where)
    gates = _limits(known, where, limits)
    try:
        findings = regression.compare(report, known.report, limits=gates)
        if again and any(map(_may_be_noise, findings)):
            report, findings = _again(file, report, known, gates, findings, events)
    except ValueError as error:
        raise ArtifactError(f"{file}: {error}", hint="edge-scnet profile BUILD_FOLDER") from error
    return Checked(report_file=file, baseline_file=where, report=report, findings=findings)


def _may_be_noise(finding: Finding) -> bool:
    """Whether a figure misses its limit that another measurement can change."""
    return finding.kind in _TIMED and finding.exit_code in (ExitCode.SPEED, ExitCode.INCONCLUSIVE)


def _limits(known: Baseline, where: Path, limits: dict[str, Any]) -> Gates:
    gates = with_limits(known.limits, limits)
    if limits:
        broken = [
            f
            for f in regression.compare(known.report, known.report, limits=gates)
            if f.verdict == "fail"
        ]
        if broken:
            raise ArtifactError(
                f"the limits contradict {where}: its own engine does not keep them:"
                f" {broken[0].message}",
                hint=(
                    "no engine that passes the baseline could pass: raise the limit, or renew the"
                    " baseline"
                ),
            )
    return gates


def _again(
    file: Path,
    report: RunReport,
    known: Baseline,
    gates: Gates,
    findings: tuple[Finding, ...],
    events: Events | None,
) -> tuple[RunReport, tuple[Finding, ...]]:
    """Times the engines once more, longer, where they lie beside the report on the machine that
    made it.
    """
    mine = environment.collect().fingerprint
    if (
        report.environment.get("fingerprint") != mine
        or not (file.parent / artifact.MANIFEST).is_file()
    ):
        why = (
            "not measured again: the engines are not beside the report, or this is another machine"
        )
        return report, tuple(
            replace(f, message=f"{f.message} ({why})") if _may_be_noise(f) else f for f in findings
        )
    from edge_scnet.pipeline.profile import time_again

    renewed = time_again(file.parent, report, factor=_AGAIN, events=events)
    if renewed is None:
        return report, findings
    first = {f.metric: f.measured for f in findings if _may_be_noise(f)}
    again = regression.compare(renewed, known.report, limits=gates)
    return renewed, tuple(
        (
            replace(
                f, message=f"{f.message} (measured again; at first {first[f.metric]:.4g} {f.unit})"
            )
            if f.metric in first
            else f
        )
        for f in again
    )


def check_project(
    located: Located,
    *,
    limits: dict[str, Any] | None = None,
    events: Events | None = None,
    command: str | None = None,
) -> tuple[Checked, ...]:
    """Builds every target of a project and holds it to its baseline.

    Args:
        command: the command line that called this, for the reports.

    Raises:
        EdgeError: see errors.py; the first target that cannot be built ends it. KeyboardInterrupt:
            a build was interrupted.
    """
    reports = build_project(located, events=events, command=command)
    return check(
        reports,
        against=located.path(located.project.baselines),
        limits={**located.limits, **(limits or {})},
        events=events,
    )


def build_project(
    located: Located, *, events: Events | None = None, command: str | None = None
) -> tuple[Path, ...]:
    """Builds every target of a project: the reports' files."""
    from edge_scnet.pipeline import build as pipeline

    project, found = located.project, []
    for target in project.targets:
        file = located.path(target)
        result = pipeline.build(
            located.model,
            target=str(file) if target.endswith(".toml") else target,
            calib=located.path(project.calib) if project.calib else None,
            evaluation=located.path(project.eval) if project.eval else None,
            out=located.path(project.out),
            model_options=project.options,
            seconds=project.seconds,
            events=events,
            command=command,
        )
        if result.report is not None and not result.report.complete:
            raise KeyboardInterrupt  # what there was of it is kept, and a gate has no use for it
        found.append(result.folder / REPORT)
    return tuple(found)
