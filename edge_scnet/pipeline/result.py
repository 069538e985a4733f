"""What a build or a profile gives: BuildResult; its report, page and figures by node, written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.files import write_text, write_together
from edge_scnet.core.manifest import (
    NO_PAGE,
    NODE_DATA,
    PARTIAL_REPORT,
    QDQ_ONNX,
    REPORT,
    REPORT_PAGE,
    Manifest,
)
from edge_scnet.core.optional import installed
from edge_scnet.errors import ArtifactError, ExitCode
from edge_scnet.graph.model import load
from edge_scnet.graph.node_ids import node_ids
from edge_scnet.pipeline.module_noise import noise_of, with_noise
from edge_scnet.report.findings import exit_code
from edge_scnet.report.node_data import node_data, noise_data
from edge_scnet.report.page import render
from edge_scnet.report.page_needs import NEEDS
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import load_report, save_report, to_json


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
    """Writes report.json and node data, and report.html where its packages are (a board need not)
    and nobody else makes it.

    All are of one run: an interrupt leaves those of the run before, or makes those of this one.

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
        folder / REPORT_PAGE: render(report) if _has_page() else None,
        folder / PARTIAL_REPORT: None,  # superseded
    }
    figures = node_data(report, _node_ids(folder))
    write_together({**texts, **{folder / name: figures.get(name) for name in NODE_DATA}})


def _has_page() -> bool:
    return not os.environ.get(NO_PAGE) and all(map(installed, NEEDS))


def save_noise(folder: BuildFolder) -> None:
    """Shows what was just measured of the modules' noise: in the folder's report, and by node.

    Raises:
        ArtifactError: the report that is there is damaged.
        StorageError: the folder cannot be written.
    """
    if (folder.path / REPORT).is_file():
        save_run(with_noise(load_report(folder.path / REPORT), folder), folder.path)
    elif parts := noise_of(folder):
        for name, text in noise_data(parts, _node_ids(folder.path)).items():
            write_text(folder.path / name, text)


def _node_ids(folder: Path) -> dict[str, str] | None:
    """The names of the nodes of a folder's Q/DQ graph; None where it has none to read.

    A board's folder may have plans alone, and no package that reads a graph.
    """
    if not installed("onnx_ir"):
        return None
    try:
        graph = BuildFolder.open(folder).verified(QDQ_ONNX)
    except ArtifactError:
        return None
    return node_ids(load(graph))
