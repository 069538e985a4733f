"""Finding and its constructors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "inconclusive", "skipped"]

ACCURACY_EXIT_CODE = 10

SPEED_EXIT_CODE = 11

INCOMPARABLE_EXIT_CODE = 12

INCONCLUSIVE_EXIT_CODE = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One judged figure."""

    metric: str
    measured: float | None
    limit: float | None
    unit: str
    verdict: Verdict
    message: str  # one sentence for people
    exit_code: int
    expected: float | None = None  # the baseline's
    cause: str | None = None  # what else changed since the baseline
    improved: bool = False  # better than the baseline beyond noise


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when all pass, else the lowest code among them: accuracy (10) goes before everything,
    inconclusive (13) last.
    """
    return min((finding.exit_code for finding in findings if finding.exit_code), default=0)


def gate_finding(
    metric: str,
    measured: float | None,
    limit: float | None,
    unit: str,
    verdict: Verdict,
    message: str,
) -> Finding:
    fail = SPEED_EXIT_CODE if metric == "speed" else ACCURACY_EXIT_CODE
    codes: dict[Verdict, int] = {
        "pass": 0,
        "skipped": 0,
        "fail": fail,
        "inconclusive": INCONCLUSIVE_EXIT_CODE,
    }
    return Finding(
        metric=metric,
        measured=measured,
        limit=limit,
        unit=unit,
        verdict=verdict,
        message=message,
        exit_code=codes[verdict],
    )


def found(
    metric: str,
    measured: float | None,
    expected: float | None,
    limit: float | None,
    unit: str,
    verdict: Verdict,
    message: str,
    *,
    code: int = 0,
    improved: bool = False,
) -> Finding:
    """A finding against a baseline; `code` is the exit code where it does not pass."""
    return Finding(
        metric=metric,
        measured=measured,
        expected=expected,
        limit=limit,
        unit=unit,
        verdict=verdict,
        message=message,
        exit_code=code if verdict in ("fail", "inconclusive") else 0,
        improved=improved,
    )


def incomparable(metric: str, message: str) -> Finding:
    """The report and its baseline are not of the same thing, or the report lacks what the baseline
    knows.
    """
    return found(metric, None, None, None, "", "fail", message, code=INCOMPARABLE_EXIT_CODE)


def skipped(metric: str, message: str) -> Finding:
    """Not judged, and why."""
    return found(metric, None, None, None, "", "skipped", message)
