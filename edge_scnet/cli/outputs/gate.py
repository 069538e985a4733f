"""What `check`, `baseline update` and `verify` print."""

from __future__ import annotations

from dataclasses import dataclass

from edge_scnet.gate.changes import Change
from edge_scnet.gate.check import Result, Unchecked
from edge_scnet.gate.inputs import Difference
from edge_scnet.report.findings import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedReport:
    """A report, and what it was judged to be, or why it could not be judged."""

    # files; None: its engine was not built
    report: str | None
    baseline: str
    # None: not judged
    model: str | None
    target: str | None
    exit_code: int
    headline: str
    # why it was not judged, and what helps; None: it was
    error: str | None
    hint: str | None
    # what differs from the baseline and may
    allowed: tuple[Difference, ...]
    findings: tuple[Finding, ...]
    # what to do next
    advice: tuple[str, ...]
    # which modules accuracy fails for, in sentences; None: --explain was not given
    explanation: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What reports were judged to be."""

    reports: tuple[CheckedReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatedBaseline:
    """A baseline that was written."""

    # its file
    baseline: str
    new: bool
    changes: tuple[Change, ...]
    # why it would hold later reports to little
    doubt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """The baselines that were written."""

    baselines: tuple[UpdatedBaseline, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a file."""

    error: str
    hint: str | None
    # that it would end the command with
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How many files were looked at, and what is wrong with them."""

    files: int
    faults: tuple[Fault, ...]


def row_of(result: Result, explanation: tuple[str, ...] | None) -> CheckedReport:
    """A result of `check` as it is printed."""
    if isinstance(result, Unchecked):
        return CheckedReport(
            report=None if result.report_file is None else str(result.report_file),
            baseline=str(result.asked.against),
            model=None,
            target=None,
            exit_code=result.exit_code,
            headline=result.headline,
            error=result.error.message,
            hint=result.error.hint,
            allowed=(),
            findings=(),
            advice=(),
            explanation=explanation,
        )
    return CheckedReport(
        report=str(result.report_file),
        baseline=str(result.baseline_file),
        model=result.report.model,
        target=result.report.target,
        exit_code=result.exit_code,
        headline=result.headline,
        error=None,
        hint=None,
        allowed=result.allowed,
        findings=result.findings,
        advice=result.advice,
        explanation=explanation,
    )
