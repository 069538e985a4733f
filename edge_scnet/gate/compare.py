"""Reports compared with the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_scnet.errors import ArtifactError
from edge_scnet.gate import regression
from edge_scnet.gate.check import report_file
from edge_scnet.report import comparison
from edge_scnet.report.metric_comparison import Comparison
from edge_scnet.report.store import load_report, profile_command


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two reports, A and B, figure by figure."""

    a: Path
    b: Path
    figures: tuple[Comparison, ...]
    # images, weights, versions and the like that differ, in words
    changed: list[str]


def compare_reports(
    paths: Sequence[Path], *, across_machines: bool = False
) -> tuple[Compared, ...]:
    """Compares reports with the first.

    Args:
        paths: report.json files, or build folders that hold one; two or more.
        across_machines: compare times of different machines all the same.

    Raises:
        ArtifactError: no report, a damaged or partial one, or nothing in common.
    """
    files = [report_file(path) for path in paths]
    reports = [load_report(file) for file in files]
    for file, report in zip(files, reports, strict=True):
        if not report.complete:
            raise ArtifactError(
                f"{file} is of an interrupted run", hint=f"edge-scnet profile {file.parent}"
            )
    compared = []
    for file, report in zip(files[1:], reports[1:], strict=True):
        try:
            figures = comparison.compare(reports[0], report, across_machines=across_machines)
        except ValueError as error:
            raise ArtifactError(f"{file}: {error}", hint=profile_command(file)) from error
        if not figures:
            raise ArtifactError(
                f"{files[0]} and {file} have no INT8 engine with figures in common",
                hint="measure both again: edge-scnet profile BUILD_FOLDER",
            )
        changed = regression.changes(report, reports[0])
        compared.append(Compared(a=files[0], b=file, figures=figures, changed=changed))
    return tuple(compared)
