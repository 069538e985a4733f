"""The gate as commands use it: reports in, findings out.

It reads JSON and judges: neither NumPy nor a runtime is needed. What looks too slow is measured
again before it counts, by a function that the caller passes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edge_scnet.config.project import AllowedKind, with_limits
from edge_scnet.config.target import Gates
from edge_scnet.core.manifest import MANIFEST, REPORT
from edge_scnet.errors import ArtifactError, EdgeError, ExitCode, worst
from edge_scnet.gate import baseline, half, regression
from edge_scnet.gate.baseline import Baseline
from edge_scnet.gate.inputs import Difference, differences
from edge_scnet.machine import environment
from edge_scnet.report import findings as report_findings
from edge_scnet.report.findings import Finding, Kind
from edge_scnet.report.run_report import RunReport, accuracy_row
from edge_scnet.report.store import load_report, profile_command

if TYPE_CHECKING:
    from edge_scnet.core.events import Events

# The option that says what may differ, and who allows it then.
ALLOW = "--allow"

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
class Asked:
    """A report to check, and what it is held to."""

    # a report.json, or a build folder that holds one
    report: Path
    # a baseline's file, or a folder of them named `<model>-<target>.json`
    against: Path
    # set over the baseline's, by name
    limits: Mapping[str, Any] = field(default_factory=dict)
    # what may differ from the baseline, and who says so
    allowed: Mapping[AllowedKind, str] = field(default_factory=dict)
    # the command line that checks it; None: the one for a report and a baseline
    command: str | None = None
    # where it is a project's: its file, and the target's where that is a file of the user's
    project_file: Path | None = None
    target_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One report, judged."""

    asked: Asked
    report_file: Path
    baseline_file: Path
    report: RunReport
    findings: tuple[Finding, ...]
    # what is another one than in the baseline
    differences: tuple[Difference, ...] = ()
    # False: it is of FP16 alone, and there is nothing to hold it to
    has_baseline: bool = True

    @property
    def title(self) -> str:
        return f"{self.report.model} for {self.report.target}"

    @property
    def exit_code(self) -> int:
        return report_findings.exit_code(self.findings)

    @property
    def allowed(self) -> tuple[Difference, ...]:
        """What differs from the baseline because somebody allows it."""
        return tuple(d for d in self.differences if d.by is not None)

    @property
    def headline(self) -> str:
        words = _HEADLINES[ExitCode(self.exit_code)]
        if not self.has_baseline and not self.exit_code:
            return "FP16 alone, nothing to hold to a baseline"
        accurate = accuracy_row(self.report)
        count = sum(finding.exit_code != 0 for finding in self.findings)
        if not self.exit_code and accurate is not None and accurate.simulated:
            words = f"{words} in simulation, accuracy not measured"
        elif count:
            words = f"{words} ({count} of {len(self.findings)} findings)"
        names = ", ".join(difference.metric for difference in self.allowed)
        return f"{words}; allowed to differ: {names}" if names else words

    @property
    def allowable(self) -> tuple[AllowedKind, ...]:
        """What would have to be allowed; nothing where something differs that nobody can allow."""
        refused = [difference.kind for difference in self.differences if difference.by is None]
        kinds = tuple(kind for kind in refused if kind is not None)
        return kinds if len(kinds) == len(refused) else ()

    def is_allowed(self, finding: Finding) -> bool:
        """Whether a finding says that something differs and may."""
        return finding.verdict == "skipped" and any(
            difference.metric == finding.metric for difference in self.allowed
        )

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do next, where there is something."""
        report, known = (shlex.quote(str(path)) for path in (self.report_file, self.baseline_file))
        update = f"edge-scnet baseline update {report} --baseline {known}"
        if any(finding.improved for finding in self.findings) and not self.exit_code:
            better = ", ".join(finding.metric for finding in self.findings if finding.improved)
            return (f"better than the baseline ({better}); to hold later ones to it: {update}",)
        if any(finding.kind == "identity" for finding in self.findings):
            right = f"{self.report.model}-{self.report.target}.json"
            folder = shlex.quote(str(self.baseline_file.parent))
            return (
                (
                    f"name this report's own baseline, {right}, or the folder it lies in:"
                    f" --baseline {folder}"
                ),
            )
        other_inputs = any(finding.exit_code == ExitCode.INCOMPARABLE for finding in self.findings)
        if other_inputs and self.report.complete:
            return (*self._allowing(report, known), f'if that is meant: {update} --accept "REASON"')
        return ()

    def _allowing(self, report: str, known: str) -> tuple[str, ...]:
        """The command that allows what differs, where that is possible."""
        if not self.allowable:
            return ()
        command = self.asked.command or " ".join(
            [f"edge-scnet check {report} --baseline {known}", *limit_words(self.asked.limits)]
        )
        given = (kind for kind, by in self.asked.allowed.items() if by == ALLOW)
        allow = "".join(f" {ALLOW} {kind}" for kind in dict.fromkeys([*given, *self.allowable]))
        return (
            f"if the model was trained anew, or its data renewed, and the rest is to be checked:"
            f" {command}{allow}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """One report that could not be judged, or an engine that could not be built."""

    asked: Asked
    error: EdgeError
    # what it is of, where no report can say it
    name: str | None = None

    @property
    def title(self) -> str:
        return self.name or str(self.report_file)

    @property
    def report_file(self) -> Path | None:
        """The report's file; None where there is none, because its engine was not built."""
        return None if self.name is not None else report_file(self.asked.report)

    @property
    def exit_code(self) -> int:
        return int(self.error.exit_code)

    @property
    def headline(self) -> str:
        return f"not checked (exit code {self.exit_code})"


Result = Checked | Unchecked


def exit_code_of(results: Sequence[Result]) -> int:
    """Returns the worst code: an error goes before every verdict."""
    return worst(result.exit_code for result in results)


def limit_words(limits: Mapping[str, Any]) -> list[str]:
    """Limits as options of a command line."""
    return [f"--limit {shlex.quote(f'{key}={value}')}" for key, value in limits.items()]


def check(
    reports: Sequence[Path | str],
    *,
    against: Path | str,
    limits: dict[str, Any] | None = None,
    allowed: Mapping[AllowedKind, str] | None = None,
    time_again: TimeAgain | None = None,
    events: Events | None = None,
) -> tuple[Checked, ...]:
    """Holds reports to their baselines.

    Args:
        reports: report.json files, or build folders that hold one.
        against: a baseline's file, or a folder of them named `<model>-<target>.json`.
        limits: limits set over the baseline's, by name.
        allowed: what may differ from the baseline, and who says so.
        time_again: measures what looks too slow once more, where its engines lie beside the report;
            None: the first measurement counts.

    Raises:
        ArtifactError: no report or baseline, damaged, edited by hand; limits that contradict the
            baseline.
        TargetError: no such limit.
    """
    asked = [
        Asked(report=Path(path), against=Path(against), limits=limits or {}, allowed=allowed or {})
        for path in reports
    ]
    _refuse_none(asked)
    return tuple(check_one(one, time_again=time_again, events=events) for one in asked)


def check_each(
    asked: Sequence[Asked], *, time_again: TimeAgain | None = None, events: Events | None = None
) -> tuple[Result, ...]:
    """Holds reports to their baselines; one that cannot be judged does not hide the others.

    Raises:
        ArtifactError: there is none.
    """
    _refuse_none(asked)
    results: list[Result] = []
    for one in asked:
        try:
            results.append(check_one(one, time_again=time_again, events=events))
        except EdgeError as error:
            results.append(Unchecked(asked=one, error=error))
    return tuple(results)


def check_one(
    asked: Asked, *, time_again: TimeAgain | None = None, events: Events | None = None
) -> Checked:
    """Holds a report to its baseline.

    Raises:
        EdgeError: as `check`.
    """
    file = report_file(asked.report)
    report = load_report(file)
    known = baseline.file_of(asked.against, report.model, report.target)
    if half.is_half(report) and not known.exists():
        return Checked(
            asked=asked,
            report_file=file,
            baseline_file=known,
            report=report,
            findings=half.findings_of(report, asked.limits),
            has_baseline=False,
        )
    case = _opened(asked, file, report, known)
    try:
        return _judged(case, time_again, events)
    except ValueError as error:
        raise ArtifactError(
            f"{case.report_file}: {error}", hint=profile_command(case.report_file)
        ) from error


def _refuse_none(asked: Sequence[Asked]) -> None:
    if not asked:
        raise ArtifactError(
            "no reports to check",
            hint="edge-scnet check build/MODEL/TARGET/report.json --baseline FILE",
        )


def report_file(path: Path) -> Path:
    """The report that a path means: itself, or the one in a build folder."""
    return path / REPORT if path.is_dir() else path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A report, and what it is held to, as read."""

    asked: Asked
    report_file: Path
    report: RunReport
    baseline_file: Path
    baseline: Baseline
    limits: Gates

    def compare(self, report: RunReport) -> tuple[Finding, ...]:
        return regression.compare(
            report, self.baseline.report, limits=self.limits, allowed=self.asked.allowed
        )


def _opened(asked: Asked, file: Path, report: RunReport, baseline_file: Path) -> _Case:
    loaded = baseline.load(baseline_file, report=file)
    return _Case(
        asked=asked,
        report_file=file,
        report=report,
        baseline_file=baseline_file,
        baseline=loaded,
        limits=_limits(loaded, baseline_file, dict(asked.limits)),
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
        asked=case.asked,
        report_file=case.report_file,
        baseline_file=case.baseline_file,
        report=report,
        findings=findings,
        differences=differences(report, case.baseline.report, case.asked.allowed),
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
