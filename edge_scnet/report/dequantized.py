"""Verdicts on engines of quantized files, whose reference is their own graph without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_scnet.errors import ExitCode
from edge_scnet.report.findings import Finding
from edge_scnet.report.verdict import verdict

_NOT_PROVEN = "not proven against a float model"


def not_against_float(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings of an engine whose reference is the dequantized graph: none passes accuracy."""
    return tuple(_unproven(f) if f.kind == "accuracy" else f for f in findings)


def headline_of_dequantized(findings: Sequence[Finding]) -> str:
    """The verdict on such findings."""
    words = verdict(findings)
    return words.replace("not proven", _NOT_PROVEN, 1) if words.startswith("not proven") else words


def _unproven(finding: Finding) -> Finding:
    message = (
        "The model was given quantized, and is compared with itself without the rounding of"
        f" activations. {finding.message}"
    )
    if finding.verdict == "fail":
        return replace(finding, message=message)
    code = int(ExitCode.INCONCLUSIVE)
    return replace(finding, verdict="inconclusive", exit_code=code, message=message)
