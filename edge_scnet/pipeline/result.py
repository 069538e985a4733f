"""BuildResult; report.json and report.html written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_scnet.core.files import write_text
from edge_scnet.core.manifest import PARTIAL_REPORT, REPORT, REPORT_PAGE, Manifest
from edge_scnet.core.optional import installed
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """Where the files are, what they are, and, after the last stage, what was measured."""

    folder: Path
    manifest: Manifest
    report: RunReport | None
    exit_code: int


def save_partial(report: RunReport, folder: Path) -> None:
    """Writes report.partial.json: what an earlier, whole run measured stays as it is.

    Raises:
        StorageError: the folder cannot be written.
    """
    save_report(report, folder / PARTIAL_REPORT)


def save_run(report: RunReport, folder: Path) -> None:
    """Writes report.json, and report.html where matplotlib is installed (a board need not have it).

    Raises:
        StorageError: the folder cannot be written.
    """
    save_report(report, folder / REPORT)
    (folder / PARTIAL_REPORT).unlink(missing_ok=True)  # superseded
    page = folder / REPORT_PAGE
    if installed("matplotlib"):
        from edge_scnet.report.page import render

        write_text(page, render(report))
    else:
        page.unlink(missing_ok=True)  # an older run's would stand beside this one's figures
