"""What the tests of the command line share: one build, made once, and two ways to run the tool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from edge_scnet.cli.root import app
from edge_scnet.config.target import Gates
from edge_scnet.gate import baseline
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report
from tests.helpers.images import idx_folder, published
from tests.helpers.reports import report
from tests.helpers.tool import BUILD_CODE, MODEL, Built, Outcome


@pytest.fixture(scope="session")
def cli_process() -> Callable[..., Outcome]:
    """Runs `edge-scnet ARGS` in a process of its own: for what crosses its border."""

    def run(
        *args: object,
        env: dict[str, str] | None = None,
        code: str = "from edge_scnet.cli.root import main; main()",
    ) -> Outcome:
        command = [sys.executable, "-c", code, *map(str, args)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=300
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Outcome]:
    """Runs `edge-scnet ARGS` in this process."""

    def run(*args: object) -> Outcome:
        result = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="edge-scnet")
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def calib_120(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 of the bundled calibration images."""
    images, labels = published("calib")
    return idx_folder(tmp_path_factory.mktemp("data") / "calib", images[:120], labels[:120])


@pytest.fixture(scope="session")
def eval_600(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 of the bundled evaluation images."""
    images, labels = published("eval")
    return idx_folder(tmp_path_factory.mktemp("data") / "eval", images[:600], labels[:600])


@pytest.fixture(scope="session")
def eval_20(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 evaluation images: too few to tell whether half a percent was lost."""
    images, labels = published("eval")
    return idx_folder(tmp_path_factory.mktemp("data") / "few", images[:20], labels[:20])


# The build that many tests share takes 20 s, and what measures its engines takes seconds each.
_SLOW_FIXTURES = {"built", "copied"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def built(
    tmp_path_factory: pytest.TempPathFactory,
    cli_process: Callable[..., Outcome],
    calib_120: Path,
    eval_600: Path,
) -> Built:
    """The whole pipeline once, in a process of its own, with `--json`."""
    out = tmp_path_factory.mktemp("built")
    outcome = cli_process(
        "build",
        "--calib",
        calib_120,
        "--eval",
        eval_600,
        "--out",
        out,
        "--seconds",
        "0.2",
        "--max-drop",
        "5",
        "--json",
        code=BUILD_CODE,
    )
    # 11: on a processor without VNNI the INT8 engine of so small a network may be the slower one
    assert outcome.code in (0, 11), outcome.stderr
    return Built(folder=out / MODEL / "cpu", calib=calib_120, evaluation=eval_600, outcome=outcome)


@pytest.fixture
def copied(built: Built, tmp_path: Path) -> Built:
    """The same build in a folder that the test may change; its parent's parent is the `--out` of a
    further build.
    """
    folder = tmp_path / "out" / MODEL / "cpu"
    shutil.copytree(built.folder, folder)
    return Built(
        folder=folder, calib=built.calib, evaluation=built.evaluation, outcome=built.outcome
    )


@pytest.fixture
def edit_manifest() -> Callable[[Path, Callable[[dict], None]], None]:
    def edit(folder: Path, change: Callable[[dict], None]) -> None:
        path = folder / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images, labels = published("eval")
    path = tmp_path_factory.mktemp("images") / "bag.png"
    Image.fromarray(images[int(np.flatnonzero(labels == 8)[0])]).save(path)
    return path


@pytest.fixture
def reported(tmp_path: Path) -> Callable[[RunReport], tuple[Path, Path]]:
    """Saves a report beside the baseline of the unchanged one: both files."""

    def write(new: RunReport) -> tuple[Path, Path]:
        path = tmp_path / "net" / "report.json"
        path.parent.mkdir(exist_ok=True)
        save_report(new, path)
        known = tmp_path / "baselines" / "net-cpu.json"
        if not known.exists():
            baseline.save(baseline.of_report(report(), Gates()), known)
        return path, known

    return write
