"""What a build or a profile gives: BuildResult; its report.json and report.html, written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.files import write_together
from edge_scnet.core.manifest import PARTIAL_REPORT, REPORT, REPORT_PAGE, Manifest
from edge_scnet.core.optional import installed
from edge_scnet.errors import ExitCode
from edge_scnet.report.findings import exit_code
from edge_scnet.report.page import NEEDS, render
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """Where the files are, what they are, and, after the last stage, what was measured."""

    folder: Path
    manifest: Manifest
    report: RunReport | None
    exit_code: int


def result_of(folder: BuildFolder, report: RunReport | None) -> BuildResult:
    """The result of a build that was measured, or that ended before."""
    if report is None:
        code = int(ExitCode.OK)
    else:
        code = exit_code(report.findings) if report.complete else int(ExitCode.INTERRUPTED)
    return BuildResult(folder=folder.path, manifest=folder.manifest, report=report, exit_code=code)


def save_run(report: RunReport, folder: Path) -> None:
    """Writes report.json, and report.html where its packages are installed (a board need not).

    Both are of one run: an interrupt leaves those of the run before, or makes those of this one.

    Of an interrupted run report.partial.json alone is written: what an earlier, whole run measured
    stays as it is.

    Raises:
        StorageError: the folder cannot be written.
    """
    if not report.complete:
        save_report(report, folder / PARTIAL_REPORT)
        return
    # what takes long and may fail or be interrupted comes first
    texts: dict[Path, str | None] = {
        folder / REPORT: to_json(report),
        folder / REPORT_PAGE: render(report) if all(map(installed, NEEDS)) else None,
        folder / PARTIAL_REPORT: None,  # superseded
    }
    write_together(texts)
