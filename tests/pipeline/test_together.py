"""Engines timed together, block by block."""

from __future__ import annotations

import json

from edge_scnet.profiler import rounds
from tests.helpers.tool import Built, Run


def test_interleaved_engines(invoke: Run, built: Built) -> None:
    """FP32 is slower than INT8 in the same folder; one engine alone is refused."""
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
    assert rows[1]["ratio"]["rounds"] == rounds.ROUNDS == 12 and "12 rounds" in rows[1]["message"]
    assert rows[1]["ratio"]["low99"] is not None and rows[1]["latency"]["count"] >= 12 * 100
    assert invoke("profile", built.folder, "--interleave").code == 6
    assert invoke("profile", built.folder, built.folder).code == 2
