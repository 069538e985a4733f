"""Engines timed together, block by block."""

from __future__ import annotations

import json

import pytest

from edge_scnet.profiler import rounds
from tests.helpers.tool import Built, Run


def test_interleaved_engines(invoke: Run, built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines of a folder, in fewer rounds than users get; one engine alone is refused."""
    monkeypatch.setattr(rounds, "ROUNDS", 3)
    outcome = invoke(
        "profile",
        built.folder / "model.xml",
        built.folder / "model-fp32.xml",
        "--interleave",
        "--seconds",
        "1",
        "--json",
    )
    assert outcome.code == 0, outcome.stderr
    rows = json.loads(outcome.stdout)["engines"]
    assert [row["name"] for row in rows] == ["A", "B"] and rows[0]["ratio"] is None
    # of so few rounds the message may also be that it cannot tell
    assert rows[1]["ratio"]["rounds"] == 3 and rows[1]["message"]
    assert rows[1]["latency"]["count"] >= 3 * 100
    assert rows[1]["throughput_ratio"]["rounds"] >= 6 and rows[1]["throughput_ratio"]["low"]
    assert invoke("profile", built.folder, "--interleave").code == 6
    assert invoke("profile", built.folder, built.folder).code == 2
