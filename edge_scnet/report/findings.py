"""Judged figures: `Finding`, what makes one, and the exit code of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from edge_scnet.errors import ExitCode

Verdict = Literal["pass", "fail", "inconclusive", "skipped"]
# identity: of which model, for which target; inputs: what the engine was made from and the images
# it is judged on; report: whether the report is whole.
Kind = Literal[
    "identity", "inputs", "report", "accuracy", "quantization", "size", "speed", "memory"
]

_FAILED: dict[Kind, ExitCode] = {
    "identity": ExitCode.INCOMPARABLE,
    "inputs": ExitCode.INCOMPARABLE,
    "report": ExitCode.INCOMPARABLE,
    "accuracy": ExitCode.ACCURACY,
    "quantization": ExitCode.ACCURACY,
    "size": ExitCode.SPEED,
    "speed": ExitCode.SPEED,
    "memory": ExitCode.SPEED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One judged figure."""

    kind: Annotated[Kind, Meta(description="what of an engine or a report is judged")]
    metric: str
    measured: float | None
    limit: float | None
    unit: str
    verdict: Verdict
    message: Annotated[str, Meta(description="one sentence for people")]
    exit_code: int
    expected: Annotated[float | None, Meta(description="the baseline's")] = None
    cause: Annotated[str | None, Meta(description="what else changed since the baseline")] = None
    improved: Annotated[bool, Meta(description="better than the baseline beyond noise")] = False
    bound: Annotated[
        str | None,
        Meta(description='the limit with its direction and its own unit: "at most 0.50 pp"'),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure, and what it is held to."""

    measured: float | None
    unit: str
    limit: float | None = None
    expected: float | None = None  # the baseline's
    # the limit in words, by `at_most` or `at_least`: its unit may be another than the figure's
    bound: str | None = None


def at_most(limit: float, unit: str, *, how: str = "") -> str:
    """A highest value in words: "at most 0.50 pp"; "at most 5 % larger" where `how` is "larger"."""
    return f"at most {_with_unit(limit, unit)}{how and ' ' + how}"


def at_least(limit: float, unit: str) -> str:
    """A lowest value in words: "at least 10.0 dB"."""
    return f"at least {_with_unit(limit, unit)}"


def _with_unit(limit: float, unit: str) -> str:
    digits = {"pp": 2, "dB": 1}.get(unit)
    number = f"{limit:g}" if digits is None else f"{limit:.{digits}f}"
    if digits is not None and float(number) != limit:  # finer than is usual
        number = f"{limit:g}"
    return f"{number} {unit}".rstrip()


def exit_code(findings: Sequence[Finding]) -> int:
    """Returns 0 when all pass, else the lowest code among them.

    Accuracy (10) goes before everything, inconclusive (13) comes last.
    """
    return min((finding.exit_code for finding in findings if finding.exit_code), default=0)


def judged(
    kind: Kind,
    metric: str,
    figure: Figure,
    verdict: Verdict,
    message: str,
    *,
    improved: bool = False,
) -> Finding:
    """Returns the finding on a figure; its exit code follows from the kind and the verdict.

    Args:
        improved: the figure is better than the baseline's beyond noise.
    """
    code = ExitCode.OK
    if verdict == "fail":
        code = _FAILED[kind]
    elif verdict == "inconclusive":
        code = ExitCode.INCONCLUSIVE
    return Finding(
        kind=kind,
        metric=metric,
        measured=figure.measured,
        expected=figure.expected,
        limit=figure.limit,
        unit=figure.unit,
        verdict=verdict,
        message=message,
        exit_code=int(code),
        improved=improved,
        bound=figure.bound,
    )


def incomparable(kind: Kind, metric: str, message: str) -> Finding:
    """Returns the finding that a report and its baseline cannot be compared.

    They are not of the same thing, or the report lacks what the baseline knows.
    """
    return Finding(
        kind=kind,
        metric=metric,
        measured=None,
        limit=None,
        unit="",
        verdict="fail",
        message=message,
        exit_code=int(ExitCode.INCOMPARABLE),
    )


def skipped(kind: Kind, metric: str, message: str) -> Finding:
    """Returns the finding that something is not judged, and why."""
    return judged(kind, metric, Figure(measured=None, unit=""), "skipped", message)
