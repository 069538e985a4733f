"""Commands with `--device`, as a user calls them: what comes back is what a run there gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devices.conftest import Board
from tests.helpers.tool import Built, Outcome

pytestmark = pytest.mark.slow


def edge(*arguments: object, cwd: Path, **environment: str) -> Outcome:
    """Runs edge-scnet in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_scnet", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        timeout=300,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def project(tmp_path: Path, client_home: Path) -> Path:
    folder = tmp_path / "my project"
    folder.mkdir()
    return folder


def test_doctor_tells_of_the_device(board: Board, project: Path) -> None:
    there = edge("doctor", "--json", "--device", board.url, cwd=project)
    here = edge("doctor", "--json", cwd=project)
    assert there.code == here.code
    assert json.loads(there.stdout).keys() == json.loads(here.stdout).keys()
    assert "edge-scnet" in there.stderr and f"127.0.0.1:{board.port}" in there.stderr


def test_a_name_of_the_projects_own_file(board: Board, project: Path) -> None:
    (project / "devices.toml").write_text(
        f'[gateway]\nhost = "{board.url}"\npython = "{sys.executable}"\nworkdir = "~/other place"\n'
    )
    outcome = edge("doctor", "--device", "gateway", cwd=project)
    assert outcome.code == 0, outcome.stderr
    assert (board.home / "other place" / "blobs").is_dir()
    wrong = edge("doctor", "--device", "gatway", cwd=project)
    assert wrong.code == 3 and "did you mean gateway?" in wrong.stderr


def test_a_device_without_edge_scnet_takes_a_wheel(
    board: Board, project: Path, tmp_path: Path
) -> None:
    config = board.home.parent / "sshd_config"
    repository = str(Path(__file__).parents[2])
    config.write_text(config.read_text().replace(f'"PYTHONPATH={repository}"', '"PYTHONPATH="'))
    board.server.send_signal(1)
    outcome = edge("doctor", "--device", board.url, cwd=project)
    if outcome.code == 0:
        pytest.skip("edge-scnet is installed in this environment: a device cannot be without it")
    assert outcome.code == 5 and "has no edge-scnet" in outcome.stderr
    assert "--wheel" in outcome.hint
    if not shutil.which("pip"):
        pytest.skip("no pip to make a wheel with")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(tmp_path), repository], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("edge_scnet-*.whl")
    with_wheel = edge("doctor", "--device", board.url, "--wheel", wheel, cwd=project)
    assert with_wheel.code == 0, with_wheel.stderr
    assert str(board.workdir / "wheels") not in with_wheel.stdout
    assert edge("doctor", "--device", board.url, "--wheel", project, cwd=project).code == 6


def test_options_of_a_device_need_one(project: Path) -> None:
    outcome = edge("doctor", "--set-power-mode", cwd=project)
    assert outcome.code == 2 and "add --device" in outcome.stderr


def test_profile_of_a_build_folder_renews_its_report(
    board: Board, project: Path, built: Built
) -> None:
    folder = project / "build" / "cpu"
    shutil.copytree(built.folder, folder)
    before = (folder / "report.json").read_bytes()
    outcome = edge("profile", "build/cpu", "--seconds", "0.3", "--device", board.url, cwd=project)
    assert outcome.code in (0, 10, 11, 13), outcome.stderr
    report = json.loads((folder / "report.json").read_bytes())
    assert (folder / "report.json").read_bytes() != before
    assert report["command"].startswith("edge-scnet profile")
    assert "jobs/" not in (folder / "report.json").read_text()
    # the page of a build is written where its report is
    assert "latency" in outcome.stdout and str(board.workdir) not in outcome.stdout
    assert not list(folder.glob(".*")), "nothing temporary stays"
    again = edge("profile", "build/cpu", "--seconds", "0.3", cwd=project)
    assert again.code in (0, 10, 11, 13), "and it is measured here as before"
