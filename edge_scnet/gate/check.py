"""The gate as commands use it: reports in, findings out.

It reads JSON and judges: neither NumPy nor a runtime is needed. What looks too slow is measured
again before it counts, by a function that the caller passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edge_scnet.config.project import with_limits
from edge_scnet.config.target import Gates
from edge_scnet.core.manifest import MANIFEST, REPORT
from edge_scnet.errors import ArtifactError, ExitCode
from edge_scnet.gate import baseline, regression
from edge_scnet.gate.baseline import Baseline
from edge_scnet.machine import environment
from edge_scnet.report import findings as report_findings
from edge_scnet.report.findings import Finding, Kind
from edge_scnet.report.run_report import RunReport, accuracy_row
from edge_scnet.report.store import load_report

if TYPE_CHECKING:
    from edge_scnet.core.events import Events

# Another measurement of what looked slower takes this many times as long.
_LONGER = 2.0
# Figures that another measurement can change.
_TIMED: frozenset[Kind] = frozenset({"speed", "memory"})

_HEADLINES = {
    ExitCode.OK: "no regression",
    ExitCode.ACCURACY: "accuracy",
    ExitCode.SPEED: "speed, size or memory",
    ExitCode.INCOMPARABLE: "not comparable",
    ExitCode.INCONCLUSIVE: "cannot tell",
}


class TimeAgain(Protocol):
    """`pipeline.profile.time_again`: the report with a build's engines timed once more."""

    def __call__(
        self, path: Path, report: RunReport, *, factor: float, events: Events | None
    ) -> RunReport | None: ...


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
        accurate = accuracy_row(self.report)
        if not self.exit_code and accurate is not None and accurate.simulated:
            return f"{words} in simulation, accuracy not measured"
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
    time_again: TimeAgain | None = None,
    events: Events | None = None,
) -> tuple[Checked, ...]:
    """Holds reports to their baselines.

    Args:
        reports: report.json files, or build folders that hold one.
        against: a baseline's file, or a folder of them named `<model>-<target>.json`.
        limits: limits set over the baseline's, by name.
        time_again: measures what looks too slow once more, where its engines lie beside the report;
            None: the first measurement counts.

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
    checked = []
    for path in reports:
        case = _opened(report_file(Path(path)), Path(against), limits or {})
        try:
            checked.append(_judged(case, time_again, events))
        except ValueError as error:
            raise ArtifactError(
                f"{case.report_file}: {error}", hint="edge-scnet profile BUILD_FOLDER"
            ) from error
    return tuple(checked)


def report_file(path: Path) -> Path:
    return path / REPORT if path.is_dir() else path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A report, and what it is held to."""

    report_file: Path
    report: RunReport
    baseline_file: Path
    baseline: Baseline
    limits: Gates

    def compare(self, report: RunReport) -> tuple[Finding, ...]:
        return regression.compare(report, self.baseline.report, limits=self.limits)


def _opened(report_file: Path, against: Path, limits: dict[str, Any]) -> _Case:
    report = load_report(report_file)
    baseline_file = baseline.file_of(against, report.model, report.target)
    loaded = baseline.load(baseline_file)
    return _Case(
        report_file=report_file,
        report=report,
        baseline_file=baseline_file,
        baseline=loaded,
        limits=_limits(loaded, baseline_file, limits),
    )


def _limits(loaded: Baseline, file: Path, limits: dict[str, Any]) -> Gates:
    """The baseline's limits with others set over them; they must let its own engine pass."""
    gates = with_limits(loaded.limits, limits)
    if not limits:
        return gates
    findings = regression.compare(loaded.report, loaded.report, limits=gates)
    broken = next((finding for finding in findings if finding.verdict == "fail"), None)
    if broken is not None:
        raise ArtifactError(
            f"the limits contradict {file}: its own engine does not keep them: {broken.message}",
            hint=(
                "no engine that passes the baseline could pass: raise the limit, or renew the"
                " baseline"
            ),
        )
    return gates


def _judged(case: _Case, time_again: TimeAgain | None, events: Events | None) -> Checked:
    report, findings = case.report, case.compare(case.report)
    if time_again is not None and any(map(_may_be_noise, findings)):
        report, findings = _once_more(case, findings, time_again, events)
    return Checked(
        report_file=case.report_file,
        baseline_file=case.baseline_file,
        report=report,
        findings=findings,
    )


def _may_be_noise(finding: Finding) -> bool:
    """Whether a figure misses its limit that another measurement can change."""
    return finding.kind in _TIMED and finding.exit_code in (ExitCode.SPEED, ExitCode.INCONCLUSIVE)


def _once_more(
    case: _Case, findings: tuple[Finding, ...], time_again: TimeAgain, events: Events | None
) -> tuple[RunReport, tuple[Finding, ...]]:
    """Times the engines again, longer, where they lie beside the report and this is its machine."""
    folder = case.report_file.parent
    here = environment.collect().fingerprint
    if case.report.environment.get("fingerprint") != here or not (folder / MANIFEST).is_file():
        why = "the engines are not beside the report, or this is another machine"
        return case.report, tuple(
            replace(f, message=f"{f.message} (not measured again: {why})")
            if _may_be_noise(f)
            else f
            for f in findings
        )
    renewed = time_again(folder, case.report, factor=_LONGER, events=events)
    if renewed is None:
        return case.report, findings
    first = {finding.metric: finding for finding in findings if _may_be_noise(finding)}
    return renewed, tuple(
        replace(f, message=f"{f.message} (measured again; at first {_figure(first[f.metric])})")
        if f.metric in first
        else f
        for f in case.compare(renewed)
    )


def _figure(finding: Finding) -> str:
    return f"{finding.measured:.4g} {finding.unit}"
