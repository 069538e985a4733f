"""A report of a board without INT8: nothing is quantized, so there is no baseline to hold it to.

It has limits of its own, against FP32 on the same images, and a loss that is proven fails them as
anywhere. What they cannot tell is told: on such a board FP16 is the fastest that there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edge_scnet.config.project import with_limits
from edge_scnet.config.target import Gates
from edge_scnet.gate.inputs import only_proven
from edge_scnet.report.findings import Finding, incomparable, skipped
from edge_scnet.report.run_report import RunReport, accuracy_row, judged_words, timed_row
from edge_scnet.report.verdict import judge_accuracy, only_simulated


def is_half(report: RunReport) -> bool:
    """Whether a report is of FP16 alone."""
    return judged_words(report) == "FP16"


def findings_of(report: RunReport, limits: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What is judged of such a report.

    Args:
        limits: set over its own, by name.

    Raises:
        TargetError: no such limit.
    """
    gates = with_limits(report.gates or Gates(), dict(limits))
    if not report.complete:
        return (
            incomparable(
                "report",
                "report",
                "The report is of an interrupted run: its figures cover a part of it.",
            ),
        )
    row = accuracy_row(report)
    if row is None or row.accuracy is None:
        accuracy = incomparable(
            "accuracy",
            "accuracy",
            "The report has no accuracy, so nothing of FP16 is known: build it with --eval.",
        )
    else:
        accuracy = judge_accuracy(row.accuracy, gates)
        if row.simulated:
            accuracy = replace(accuracy, message=f"Simulated: {accuracy.message}")
        if row.simulated and timed_row(report) is not None:
            accuracy = only_simulated(accuracy, row)
    return (
        skipped(
            "report",
            "baseline",
            "FP16 alone: nothing is quantized, and there is no baseline; the report's own limits"
            " against FP32 hold.",
        ),
        only_proven(accuracy),
        *(only_proven(finding) for finding in report.findings if finding.kind != "accuracy"),
    )
