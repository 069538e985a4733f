"""A bundle on a board without Python: its build.sh runs there, and its figures are judged here.

No board has run this; trtexec is a stand-in that prints what the real one does.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_scnet.compile import bundle
from edge_scnet.core.events import Silent
from edge_scnet.core.folder_lock import locked
from tests.devices.conftest import REPOSITORY, Board, MakeBoard
from tests.devices.test_commands import edge, project
from tests.helpers.graphs import tiny_onnx
from tests.helpers.tensorrt import fake_trtexec

__all__ = ["project"]
pytestmark = pytest.mark.slow

OWN_TOOL = """#!/bin/sh
case $3 in
compile) echo own >build/net/jetson/engine.plan ;;
profile) cp "{measured}" build/net/jetson/report.json ;;
*) PYTHONPATH={repository} exec "{python}" "$@" ;;
esac
shift 2
echo "$*" >>"{calls}"
"""

MakeOrin = Callable[..., Board]


@pytest.fixture
def orin(new_board: MakeBoard, tmp_path: Path) -> MakeOrin:
    """Makes a board with a stand-in for trtexec, and without edge-scnet."""

    def make(fail: str = "") -> Board:
        program = fake_trtexec(tmp_path / "trtexec", "100300", fail)
        return new_board("orin", TRTEXEC=str(program), CALLS=str(tmp_path / "calls"), PYTHONPATH="")

    return make


@pytest.fixture
def folder(project: Path, packed: Path) -> Path:
    """A build folder for a Jetson with its bundle, below the working directory."""
    made = project / "build" / "net" / "jetson"
    made.mkdir(parents=True)
    bundle.unpack(packed, made)
    shutil.copyfile(packed, made / bundle.BUNDLE)
    return made


def test_profile_builds_times_and_judges_the_plans(
    orin: MakeOrin, folder: Path, project: Path
) -> None:
    board = orin()
    outcome = edge("profile", "build/net/jetson", "--json", "--device", board.url, cwd=project)
    report = json.loads((folder / "report.json").read_text())
    assert outcome.code in (11, 13), outcome.stderr
    assert json.loads(outcome.stdout)["verdict"] == report["verdict"]
    assert report["command"].startswith("edge-scnet profile build/net/jetson")
    assert (folder / "engine.plan").is_file() and (folder / "engine-fp16.plan").is_file()
    assert "build engine.plan (minutes on a board)" in outcome.stderr
    assert not (folder / ".unpacked").exists() and not list(board.workdir.glob("jobs/*"))


def test_compile_brings_the_plans_and_says_what_is_next(
    orin: MakeOrin, folder: Path, project: Path
) -> None:
    board = orin()
    file = "build/net/jetson/bundle.tar.gz"
    outcome = edge("compile", file, "--builds", "2", "--device", board.url, cwd=project)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.splitlines()[-1].startswith("next: edge-scnet profile build/net/jetson")
    assert "build 1 of 2" in outcome.stderr
    results = outcome.stdout.split()[-1]
    judged = edge("profile", results, cwd=project)
    assert judged.code in (11, 13), judged.stderr
    searched = edge("compile", file, "--search", "10", "--device", board.url, cwd=project)
    assert searched.code == 2 and "takes no --search" in searched.stderr


def test_plans_come_into_no_folder_that_another_run_writes_into(
    orin: MakeOrin, folder: Path, project: Path
) -> None:
    board = orin()
    compiled = ("compile", "build/net/jetson/bundle.tar.gz", "--device", board.url)
    with locked(folder, command="another run", wait=False, events=Silent()):
        outcome = edge(*compiled, cwd=project)
    assert outcome.code == 9 and "another run" in outcome.stderr, outcome.stderr
    assert not (folder / "engine.plan").exists()
    again = edge(*compiled, cwd=project)
    assert again.code == 0 and "has ended there: it is taken up" in again.stderr
    assert (folder / "engine.plan").is_file()


def test_what_fails_there_has_its_words_and_its_exit_code_here(
    orin: MakeOrin, folder: Path, project: Path
) -> None:
    board = orin(fail="echo '[E] no implementation for conv1'; exit 1")
    before = sorted(path.name for path in folder.iterdir())
    outcome = edge("profile", "build/net/jetson", "--device", board.url, cwd=project)
    assert outcome.code == 8 and "no implementation for conv1" in outcome.stderr
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_build_for_a_board_ends_with_the_boards_figures(
    orin: MakeOrin, project: Path, calib_120: Path, eval_20: Path
) -> None:
    board = orin()
    (project / "devices.toml").write_text(
        f'[orin]\nhost = "{board.url}"\ntarget = "jetson"\ntags = ["lab"]\n'
    )
    tiny_onnx(project / "net.onnx", classes=10, size=28)
    options = ["--calib", calib_120, "--eval", eval_20, "--mean", "0.3", "--std", "0.3"]
    outcome = edge("build", "net.onnx", *options, "--json", "--device", "orin", cwd=project)
    assert outcome.code in (10, 11, 13), outcome.stderr
    report = json.loads((project / "build" / "net" / "jetson" / "report.json").read_text())
    assert report["target"] == "jetson" and "speed not measured" not in report["verdict"]
    assert json.loads(outcome.stdout)["verdict"] == report["verdict"]
    times = {row["name"]: row["latency"] for row in report["engines"]}
    assert times["int8"]["samples_ns"], "the board's times"

    # a Python there is a stand-in, too: the report that it measures is the one of above
    measured, calls = project / "measured.json", project / "python calls"
    shutil.copyfile(project / "build" / "net" / "jetson" / "report.json", measured)
    python = project / "python"
    python.write_text(
        OWN_TOOL.format(
            python=sys.executable, calls=calls, measured=measured, repository=REPOSITORY
        )
    )
    python.chmod(0o755)
    with (project / "devices.toml").open("a") as file:
        file.write(f'python = "{python}"\n')
    options += ["--seconds", 0.5]
    own = edge("build", "net.onnx", *options, "--json", "--device", "orin", cwd=project)
    assert own.code == outcome.code, own.stderr
    assert json.loads(own.stdout)["verdict"] == report["verdict"]
    assert (project / "build" / "net" / "jetson" / "engine.plan").read_text() == "own\n"
    compiled, profiled = calls.read_text().splitlines()
    bundle_file = "build/net/jetson/bundle.tar.gz"
    assert compiled == f"compile {bundle_file} --out build"
    assert profiled.startswith("profile build/net/jetson --eval=") and "--seconds=0.5" in profiled


def test_a_fleet_of_boards_builds_and_times_the_plans_of_one_bundle(
    new_board: MakeBoard, folder: Path, project: Path, tmp_path: Path
) -> None:
    tables = []
    for name, fail in (("one", ""), ("two", "echo '[E] no implementation for conv1'; exit 1")):
        (tmp_path / name).mkdir()
        program = fake_trtexec(tmp_path / name / "trtexec", "100300", fail)
        board = new_board(
            f"board-{name}",
            TRTEXEC=str(program),
            CALLS=str(tmp_path / name / "calls"),
            PYTHONPATH="",
        )
        tables.append(f"[{name}]\nhost = '{board.url}'\ntags = ['lab']\n")
    (project / "devices.toml").write_text("".join(tables))
    outcome = edge("profile", "build/net/jetson", "--json", "--device", "tag:lab", cwd=project)
    one, two = json.loads(outcome.stdout)["rows"]
    own = project / "build" / "@one" / "net" / "jetson"
    report = json.loads((own / "report.json").read_text())
    assert one["verdict"] == report["verdict"] and one["device"]["exit_code"] in (11, 13)
    assert one["p50_ms"] > 0
    assert (own / "engine.plan").is_file() and not (folder / "engine.plan").exists()
    assert outcome.code == two["device"]["exit_code"] == 8 and two["p50_ms"] is None
    assert "no implementation" in two["device"]["error"]
    # no edge-scnet there: each report that came back is held to its own baseline here
    update = ("baseline", "update", own, "--baseline", "baselines/@one")
    assert edge(*update, cwd=project).code == 0
    check = ("check", "build/net/jetson", "--baseline", "baselines", "--json")
    checked = edge(*check, "--device", "tag:lab", cwd=project)
    one, two = json.loads(checked.stdout)["rows"]
    assert one["device"]["error"] is None and one["device"]["exit_code"] in (0, 13), one
    assert one["device"]["headline"] and one["p50_ms"] > 0
    assert two["device"]["exit_code"] == checked.code == 6
    assert "no report at" in two["device"]["error"] and "@two" in two["device"]["error"]
    alone = ("check", own, "--baseline", "baselines/@one", "--device", "one")
    assert edge(*alone, cwd=project).code == one["device"]["exit_code"]
    refused = edge("build", "net.onnx", "-t", "jetson", "--device", "tag:lab", cwd=project)
    assert refused.code == 2 and "build for jetson without --device" in refused.stderr
