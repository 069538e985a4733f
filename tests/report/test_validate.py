"""Reports of what no run can have measured are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.report.findings import Finding
from edge_scnet.report.store import save_report
from tests.helpers.reports import full_report
from tests.helpers.tool import Run


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("engines", 1, "latency", "p50_ms"), 0.0),
        (("engines", 1, "latency", "steadiness", "modes_ms"), []),
        (("engines", 1, "latency", "steadiness", "mode_percents"), [50.0, 50.0]),
        (("engines", 1, "warm_up_seconds"), None),
        (("engines", 1, "end_to_end", "stages_ms"), {"infer": 0.0}),
        (("engines", 1, "accuracy", "labels", "mcnemar_p"), None),
        (("engines", 1, "memory", "growth_bytes"), 5),
        (("sweep", 0, "batch"), 0),
        (("flips", "shown", 0, "now"), -1),
        (("flips", "shown", 0, "kind"), '"><script>'),
        (("flips", "shown", 0, "kind"), {}),
        (("findings", 0, "verdict"), '"><script>'),
    ],
)
def test_what_no_run_can_have_measured_is_refused(
    tmp_path: Path, invoke: Run, path: tuple[Any, ...], value: Any
) -> None:
    finding = Finding(
        kind="speed",
        metric="speed",
        measured=1.0,
        limit=None,
        unit="x",
        verdict="pass",
        message="fast",
        exit_code=0,
    )
    save_report(replace(full_report(), findings=(finding,)), tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "r.json").write_text(json.dumps(content))
    for command in (
        ("report", tmp_path / "r.json"),
        ("report", tmp_path / "r.json", "--html", tmp_path / "r.html"),
    ):
        outcome = invoke(*command)
        assert outcome.code == 6 and "r.json is not a report: " in outcome.stderr, (
            outcome.stdout,
            outcome.stderr,
        )
