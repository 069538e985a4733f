"""`targets` and `doctor`."""

from __future__ import annotations

import json
import re

import pytest

from edge_scnet.config.target import list_targets
from tests.helpers.tensorrt import with_tensorrt
from tests.helpers.tool import Run


def test_targets(invoke: Run) -> None:
    text, rows = invoke("targets"), invoke("targets", "--json")
    assert (text.code, rows.code, rows.stderr) == (0, 0, "")
    names = [target.name for target in list_targets()]
    assert re.findall(r"^(\S+)", text.stdout, re.MULTILINE) == names
    assert [row["name"] for row in json.loads(rows.stdout)] == names
    assert "can be built and profiled" in text.stdout
    assert json.loads(rows.stdout)[names.index("cpu-avx2")]["unusable"] is None


def test_targets_say_what_a_lesser_machine_lacks(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    rows = [
        row
        for row in json.loads(invoke("targets", "--json").stdout)
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
    assert set(content) == {"environment", "runtimes", "export", "targets"}
    assert len(content["environment"]["fingerprint"]) == 64
    for name in (*content["runtimes"], *content["targets"]):
        assert name in text.stdout
