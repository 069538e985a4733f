"""Commands with `--device`, as a user calls them: what comes back is what a run there gives."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_scnet.core.files import sha256_bytes
from edge_scnet.report.store import load_report
from tests.devices.conftest import Board
from tests.devices.test_faults import learn
from tests.helpers.graphs import tiny_onnx
from tests.helpers.images import idx_folder, published
from tests.helpers.tcp_proxy import TcpProxy
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


# Removes every edge-scnet but a pushed one from a Python's path.
WITHOUT_TOOL = """
import os, sys
sys.path[:] = [
    path for path in sys.path
    if "/wheels/" in path or not os.path.exists(os.path.join(path, "edge_scnet", "__about__.py"))
]
"""


def test_a_device_without_edge_scnet_takes_a_wheel(
    board: Board, project: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT_TOOL)
    python = board.home.parent / "bin" / "python3"
    python.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="$PYTHONPATH:{site}"\nexec {sys.executable} "$@"\n'
    )
    outcome = edge("doctor", "--device", board.url, cwd=project)
    assert outcome.code == 5 and "has no edge-scnet" in outcome.stderr
    assert "--wheel" in outcome.hint
    repository = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(tmp_path), repository], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("edge_scnet-*.whl")
    with_wheel = edge("doctor", "--device", board.url, "--wheel", wheel, cwd=project)
    assert with_wheel.code == 0, with_wheel.stderr
    (pushed,) = (board.workdir / "wheels").iterdir()
    assert (pushed / "edge_scnet" / "devices" / "job.sh").is_file()
    again = edge("doctor", "--device", board.url, "--wheel", wheel, cwd=project)
    assert again.code == 0 and "0.0 MB sent" in again.stderr
    wrong = edge("doctor", "--device", board.url, "--wheel", project, cwd=project)
    assert wrong.code == 6 and "no wheel of edge-scnet" in wrong.stderr


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
    assert "latency" in outcome.stdout and str(board.workdir) not in outcome.stdout
    # the page of a build is written where its report is, as a profile here would write it
    page = (folder / "report.html").read_bytes()
    assert edge("report", folder, "--html", "page.html", cwd=project).code == 0
    assert page == (project / "page.html").read_bytes()
    assert not (board.workdir / "blobs" / sha256_bytes(page)).exists(), "it came over no link"
    assert not list(folder.glob(".*")), "nothing temporary stays"
    again = edge("profile", "build/cpu", "--seconds", "0.3", cwd=project)
    assert again.code in (0, 10, 11, 13), "and it is measured here as before"


def test_a_second_profile_that_changes_nothing_moves_little(
    board: Board, project: Path, built: Built, client_home: Path
) -> None:
    """Of the new report what changed alone comes, SSH's own bytes counted."""
    folder = project / "build" / "cpu"
    shutil.copytree(built.folder, folder)
    with TcpProxy(board.port) as link:
        learn(board, link, client_home)
        url = board.url.replace(f":{board.port}", f":{link.port}")
        profile = ("profile", "build/cpu", "--seconds", "0.3", "--device", url)
        assert edge(*profile, cwd=project).code in (0, 10, 11, 13)
        before = link.moved_bytes
        assert edge(*profile, cwd=project).code in (0, 10, 11, 13)
        assert link.moved_bytes - before < 50_000
    load_report(folder / "report.json")


def test_ctrl_c_asks_the_device_and_a_second_one_leaves_it(
    board: Board, project: Path, built: Built
) -> None:
    shutil.copytree(built.folder, project / "cpu")
    before = (project / "cpu" / "report.json").read_bytes()
    # a profile that would take minutes
    command = ["profile", "cpu", "--seconds", "100", "--device", board.url]
    with started(command, project) as process:
        wait_for(process, "profile ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the device is asked to stop" in err
    assert not list(board.workdir.glob("jobs/*")), "its end was waited for"
    assert (project / "cpu" / "report.json").read_bytes() == before
    with started(command, project) as process:
        wait_for(process, "profile ")
        # the job is deaf for as long as it is stopped itself
        (pid,) = board.workdir.glob("jobs/*/pid")
        os.killpg(int(pid.read_text()), signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "left: the job goes on there" in err
    assert list(board.workdir.glob("jobs/*"))
    os.killpg(int(pid.read_text()), signal.SIGKILL)


@contextlib.contextmanager
def started(command: list[str], project: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs edge-scnet in a process of its own, which ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_scnet", *command],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Reads what a process tells until a line begins so."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(words):
            return
    raise AssertionError(f"it ended without {words!r}")


def test_a_project_is_built_and_checked_there(board: Board, project: Path) -> None:
    images, labels = published("calib")
    idx_folder(project / "train", images[:120], labels[:120])
    images, labels = published("eval")
    idx_folder(project / "eval", images[:200], labels[:200])
    tiny_onnx(project / "net.onnx", classes=10, size=28)
    (project / "edge-scnet.toml").write_text(
        'model = "net.onnx"\ntargets = ["cpu"]\nbaselines = "baselines"\ncalib = "train"\n'
        'eval = "eval"\nseconds = 0.2\n[options]\nmean = [0.3]\nstd = [0.3]\n'
        "[limits]\nmax_drop_pp = 50\n"
    )
    made = edge("build", "--project", "--device", board.url, cwd=project)
    assert made.code in (0, 10, 11, 13), made.stderr
    folder = project / "build" / "net" / "cpu"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["evaluation"] == str(project / "eval"), "as a build here would name it"
    updated = edge("baseline", "update", folder, "--baseline", "baselines", cwd=project)
    assert updated.code == 0, updated.stderr
    again = edge("build", "--project", "--device", board.url, cwd=project)
    assert "export" in again.stderr and "unchanged, reused" in again.stderr
    assert "0.0 MB sent" in again.stderr
    checked = edge("check", "--build", "--device", board.url, cwd=project)
    assert checked.code in (0, 11, 12, 13), checked.stderr
    assert "net" in checked.stdout
    compared = edge("compare", folder, folder, "--json", "--device", board.url, cwd=project)
    assert compared.code == 0, compared.stderr
    assert compared.stdout == edge("compare", folder, folder, "--json", cwd=project).stdout
