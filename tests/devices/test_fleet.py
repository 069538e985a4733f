"""A command on several devices at once, as a user calls it: folders, table, page, exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_scnet.core.manifest import load_manifest
from edge_scnet.report.store import load_report
from tests.devices.conftest import MakeBoard
from tests.devices.test_commands import edge
from tests.helpers.page import Page
from tests.helpers.schemas import validator
from tests.helpers.tool import MODEL, Built

pytestmark = pytest.mark.slow

NOBODY = 'host = "127.0.0.1:9"\n'  # the port "discard", where nothing listens


@pytest.fixture
def lab(new_board: MakeBoard, tmp_path: Path) -> Path:
    """A project with two boards of the tag lab, and one that is switched off."""
    folder = tmp_path / "a project"
    folder.mkdir()
    tables = [f"[off]\n{NOBODY}tags = ['all']\n"]
    for name in ("one", "two"):
        board = new_board(name)
        tables.append(f"[{name}]\nhost = '{board.url}'\ntags = ['lab', 'all']\n")
    (folder / "devices.toml").write_text("\n".join(tables))
    return folder


def measured(name: str, folder: Path) -> str:
    """The page of a device's report, and what is looked at in its folder."""
    report = load_report(folder / "report.json")
    manifest = load_manifest(folder)
    engine = next(row for row in report.engines if row.role == "int8")
    assert engine.sha256 == manifest.artifacts[engine.file].sha256
    assert (folder / "report.html").is_file(), name
    return report.verdict


def test_a_fleet_profiles_and_what_is_switched_off_stops_nobody(
    lab: Path, copied: Built, eval_20: Path
) -> None:
    build = copied.folder
    before = (build / "report.json").read_bytes()
    asked = ("--eval", eval_20, "--seconds", "0.2", "--device", "tag:all", "--json")
    outcome = edge("profile", build, *asked, cwd=lab)
    fleet = json.loads(outcome.stdout)
    validator("fleet").validate(fleet)
    assert outcome.code == fleet["exit_code"] == 8, outcome.stderr
    off, one, two = fleet["rows"]
    assert off["device"]["name"] == "off" and off["device"]["exit_code"] == 8
    assert "cannot connect" in off["device"]["error"] and off["p50_ms"] is None
    out = build.parents[1]
    for row, name in ((one, "one"), (two, "two")):
        folder = out / f"@{name}" / MODEL / "cpu"
        assert Path(row["device"]["folder"]).samefile(folder)
        assert row["verdict"] == measured(name, folder)
        assert row["p50_ms"] > 0 and row["accuracy"]["images"] == 20
    assert (build / "report.json").read_bytes() == before, "the report of this machine stays"
    page = Page((out / "fleet.html").read_text())
    links = [f"./%40{name}/{MODEL}/cpu/report.html" for name in ("one", "two")]
    assert page.fetched == links
    for link in links:
        assert (out / link.replace("%40", "@")).is_file()
    assert "cannot connect" in page.text


def test_each_device_is_held_to_its_own_baseline(lab: Path, copied: Built, eval_20: Path) -> None:
    build = copied.folder
    profile = ("profile", build, "--eval", eval_20, "--seconds", "0.2")
    assert edge(*profile, "--device", "one,two", cwd=lab).code in (0, 10, 11, 13)
    own = build.parents[1] / "@one" / MODEL / "cpu"
    baselines = lab / "baselines"
    written = edge("baseline", "update", own, "--baseline", baselines / "@one", cwd=lab)
    assert written.code == 0, written.stderr
    check = ("check", build, "--baseline", "baselines")
    outcome = edge(*check, "--device", "one,two", "--json", cwd=lab)
    fleet = json.loads(outcome.stdout)
    one, two = fleet["rows"]
    assert one["device"]["exit_code"] in (0, 13) and one["device"]["error"] is None, one
    assert one["device"]["headline"]
    assert two["device"]["exit_code"] == 6 == outcome.code
    assert "no baseline at" in two["device"]["error"] and "@two" in two["device"]["error"]
    assert "@two" in two["device"]["hint"], "the hint writes the device's own"


def test_doctor_tells_of_each_device_in_words(lab: Path) -> None:
    outcome = edge("doctor", "--device", "one,two", cwd=lab)
    assert outcome.code == 0, outcome.stderr
    assert "2 devices: 2 passed" in outcome.stdout
    assert "targets can be built there" in outcome.stdout and "openvino " in outcome.stdout
    assert not list(lab.glob("**/fleet.html"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("doctor", "--device", "tag:orin"), "no device has that tag"),
        (("doctor", "--device", "one,too"), "did you mean two?"),
        (("profile", "nowhere", "--device", "one,two"), "one build folder"),
        (("sensitivity", "--device", "one,two"), "takes one device"),
        (("check", "x", "-b", "b.json", "--device", "one,two"), "each device has its own"),
    ],
)
def test_what_a_fleet_cannot_take_is_refused_before_anything_is_sent(
    lab: Path, arguments: tuple[str, ...], words: str
) -> None:
    outcome = edge(*arguments, cwd=lab)
    assert outcome.code in (2, 3) and words in outcome.stderr


def test_a_project_is_built_on_each_device_and_held_to_its_own_baselines(
    lab: Path, calib_120: Path, eval_20: Path
) -> None:
    (lab / "edge-scnet.toml").write_text(
        f'model = "{MODEL}"\ntargets = ["cpu"]\nbaselines = "baselines"\nseconds = 0.2\n'
        f'calib = "{calib_120}"\neval = "{eval_20}"\n[limits]\nmax_slowdown_percent = 90\n'
    )
    built = edge("build", "--project", "--device", "one,two", cwd=lab)
    assert built.code in (0, 10, 11, 13), built.stderr
    for name in ("one", "two"):
        measured(name, lab / "build" / f"@{name}" / MODEL / "cpu")
    assert not (lab / "build" / MODEL).exists(), "nothing of a device lies among our own"
    assert Page((lab / "build" / "fleet.html").read_text()).fetched
    own = lab / "build" / "@one" / MODEL / "cpu"
    update = edge("baseline", "update", own, "--baseline", "baselines/@one", cwd=lab)
    assert update.code == 0, update.stderr
    junit = ("--junit", "check.xml")
    checked = edge(
        "check", "--build", "--project", "--device", "one,two", *junit, "--json", cwd=lab
    )
    fleet = json.loads(checked.stdout)
    one, two = fleet["rows"]
    assert one["device"]["error"] is None and one["device"]["exit_code"] in (0, 11, 13), one
    assert two["device"]["exit_code"] == 6 == checked.code
    assert "@two" in two["device"]["error"]
    assert {path.name for path in lab.glob("check*.xml")} == {"check@one.xml", "check@two.xml"}
