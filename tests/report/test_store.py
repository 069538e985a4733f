"""Reports of older and other schemas, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.errors import ArtifactError
from edge_scnet.report.run_report import SCHEMA
from edge_scnet.report.store import load_report
from tests.helpers.reports import OLD
from tests.helpers.tool import Run


def test_a_report_of_the_first_schema_is_read_and_shown_again(invoke: Run, tmp_path: Path) -> None:
    assert json.loads(OLD.read_text())["schema"] == 1
    old = load_report(OLD)
    assert (
        old.schema == SCHEMA
        and old.engines[2].latency is not None
        and old.engines[2].latency.steadiness is None
    )
    assert old.flips is None and old.sweep == () and old.engines[0].settings == {}
    outcome = invoke("report", OLD, "--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    assert outcome.code == 0, outcome.stderr
    assert "By class" in (tmp_path / "r.html").read_text(), "what schema 1 had is enough for it"
    assert invoke("compare", OLD, OLD).code == 0


@pytest.mark.parametrize("schema", [SCHEMA + 1, 99, 0, "2", None])
def test_a_report_of_another_schema_is_refused(tmp_path: Path, invoke: Run, schema: Any) -> None:
    content = {**json.loads(OLD.read_text()), "schema": schema}
    (tmp_path / "r.json").write_text(json.dumps(content))
    outcome = invoke("report", tmp_path / "r.json")
    assert (
        outcome.code == 6
        and f"r.json has schema {schema}, this version reads 1 to {SCHEMA}" in outcome.stderr
    )
    newer = isinstance(schema, int) and schema > SCHEMA
    assert ("pip install --upgrade edge-scnet" in outcome.hint) == newer


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000])
def test_a_truncated_report_is_named(tmp_path: Path, kept: int) -> None:
    (tmp_path / "r.json").write_text(OLD.read_text()[:kept])
    with pytest.raises(ArtifactError, match=r"r\.json is not a report"):
        load_report(tmp_path / "r.json")
