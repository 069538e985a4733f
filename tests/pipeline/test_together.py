"""Engines timed together, block by block."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_scnet.core.files import sha256_file
from edge_scnet.errors import ArtifactError
from edge_scnet.pipeline import together
from edge_scnet.profiler import rounds
from edge_scnet.profiler.process import EngineFile
from edge_scnet.runtimes.base import OpenOptions
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
        "0.3",
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


def test_figures_of_engines_that_were_replaced_meanwhile_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_text("one")
    engine = EngineFile(
        name="A",
        role="int8",
        runtime="openvino",
        path=path,
        options=OpenOptions(),
        size_bytes=3,
        sha256=sha256_file(path),
    )
    together._check_unchanged([engine])
    path.write_text("two")
    with pytest.raises(ArtifactError, match=r"model\.xml was replaced while it was timed"):
        together._check_unchanged([engine])
    path.unlink()
    with pytest.raises(ArtifactError, match="was removed while it was timed"):
        together._check_unchanged([engine])
