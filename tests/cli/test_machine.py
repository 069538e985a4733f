"""`targets` and `doctor`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge_scnet.config.target import list_targets
from edge_scnet.machine import isa
from edge_scnet.runtimes.tensorrt import cuda
from tests.helpers.machines import act
from tests.helpers.tensorrt import ORIN, fake_trtexec, with_tensorrt
from tests.helpers.tool import Run


def test_targets(invoke: Run) -> None:
    text, rows = invoke("targets"), invoke("targets", "--json")
    assert (text.code, rows.code, rows.stderr) == (0, 0, "")
    names = [target.name for target in list_targets()]
    assert re.findall(r"^(\S+)", text.stdout, re.MULTILINE) == names
    assert [row["name"] for row in json.loads(rows.stdout)["targets"]] == names
    assert "can be built and profiled" in text.stdout
    for row in json.loads(rows.stdout)["targets"]:
        assert Path(row["file"]).is_file() and f"file: {row['file']}\n" in text.stdout
    assert json.loads(rows.stdout)["targets"][names.index("cpu-avx2")]["unusable"] is None


def test_targets_say_what_a_lesser_machine_lacks(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    rows = [
        row
        for row in json.loads(invoke("targets", "--json").stdout)["targets"]
        if row["runtime"] == "openvino"
    ]
    assert len(rows) == 2 and all("avx2" in row["unusable"].lower() for row in rows)
    # the bundle of a board is no engine of this machine
    with_tensorrt(monkeypatch, None)
    assert invoke("doctor").code == 5


def test_doctor(invoke: Run) -> None:
    text, facts = invoke("doctor"), invoke("doctor", "--json")
    assert (text.code, facts.code, text.stderr, facts.stderr) == (0, 0, "", "")
    content = json.loads(facts.stdout)
    assert set(content) == {
        "schema",
        "kind",
        "edge_scnet",
        "environment",
        "board",
        "runtimes",
        "export",
        "targets",
    }
    assert len(content["environment"]["fingerprint"]) == 64
    assert content["board"] == [] and content["edge_scnet"] in text.stdout.splitlines()[0]
    for name in (*content["runtimes"], *content["targets"]):
        assert name in text.stdout


def test_doctor_on_a_board(invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    act(
        monkeypatch,
        {
            "/proc/device-tree/model": ORIN,
            "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1",
        },
    )
    with_tensorrt(monkeypatch, "10.3.0")
    monkeypatch.setenv("TRTEXEC", str(fake_trtexec(tmp_path / "trtexec", "100300")))
    monkeypatch.chdir(tmp_path)
    text = invoke("doctor").stdout
    assert f"board        {ORIN} (jetson, jetson-orin-nano)\n" in text
    assert "release      L4T 36.4.3, JetPack 6.2\n" in text
    assert f"trtexec      {tmp_path}/trtexec, 10.3.0\n" in text
    assert "power mode   not told\n             sudo nvpmodel -q" in text
    rows = {row["name"]: row for row in json.loads(invoke("doctor", "--json").stdout)["board"]}
    assert rows["release"] == {
        "name": "release",
        "told": "L4T 36.4.3, JetPack 6.2",
        "advice": None,
    }
    assert list(rows) == [
        "board",
        "release",
        "TensorRT",
        "trtexec",
        "CUDA",
        "power mode",
        "clocks",
        "memory",
        "disk",
    ]


def test_plans_that_python_cannot_run_are_timed_through_trtexec(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRTEXEC", str(fake_trtexec(tmp_path / "trtexec", "v100300")))
    with_tensorrt(monkeypatch, "10.3.0")
    reason = "this CUDA runtime is for a newer driver"
    monkeypatch.setattr(cuda, "unavailable", lambda: reason)
    shown = " ".join(invoke("targets").stdout.split())
    assert f"timed through {tmp_path}/trtexec: {reason}" in shown


def test_an_arm_machine_builds_for_itself_and_not_for_openvino(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    raspberry_pi_4 = frozenset({"fp", "asimd", "crc32"})
    monkeypatch.setattr(isa, "machine_flags", lambda: raspberry_pi_4)
    listed = json.loads(invoke("targets", "--json").stdout)["targets"]
    rows = {row["name"]: row["unusable"] for row in listed}
    assert rows["arm64"] is rows["onnxruntime"] is None
    assert rows["pi5"] == "it needs asimddp; this machine provides asimd"
    assert "engines of OpenVINO are for x86-64" in rows["cpu"]
    assert "this machine provides asimd" in rows["cpu-avx2"]
    outcome = invoke("doctor")
    assert outcome.code == 0 and "instructions asimd\n" in outcome.stdout
    assert "no dot product (asimddp): INT8 may gain nothing" in outcome.stdout


def test_targets_of_arm_are_built_here_and_profiled_there(invoke: Run) -> None:
    text = invoke("targets").stdout
    assert text.count("can be built; profiled on a 64-bit Arm machine, for this is none") == 2
