"""Which modules and causes `check` names for a planted fault."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from edge_scnet.config.target import Gates
from edge_scnet.gate import baseline, check
from edge_scnet.pipeline.explain import explain
from edge_scnet.report.store import load_report
from tests.helpers.graphs import TENSOR, scaled
from tests.helpers.tool import MODEL, Built, Run


def test_check_explain_names_modules_and_causes(invoke: Run, copied: Built, tmp_path: Path) -> None:
    known = tmp_path / "b.json"
    made = load_report(copied.folder / "report.json")
    gates = replace(
        made.gates or Gates(),
        max_drop_pp=50,
        max_slowdown_percent=90,
        max_memory_growth_percent=200,
    )
    baseline.save(baseline.of_report(made, gates), known)
    wrong = scaled(copied.folder / "model.qdq.onnx", tmp_path / "wrong.onnx", TENSOR, 0.25)
    again = invoke(
        "build",
        "--calib",
        copied.calib,
        "--eval",
        copied.evaluation,
        "--out",
        copied.folder.parents[1],
        "--seconds",
        "0.1",
        "--max-drop",
        "50",
        "--qdq",
        wrong,
    )
    assert again.code in (0, 11, 13), again.stderr
    outcome = invoke("check", copied.folder, "--baseline", known, "--explain", "--json")
    row = json.loads(outcome.stdout)["reports"][0]
    assert outcome.code == 10 and row["model"] == MODEL
    failing = {finding["metric"] for finding in row["findings"] if finding["verdict"] == "fail"}
    assert {"SQNR", "scales", "quantizer (ours, or another's file)"} <= failing
    assert (
        "the noise at the outputs that goes away with a block back in float: layer"
        in row["explanation"][0]
    )
    assert "quantizer" in next(f["cause"] for f in row["findings"] if f["cause"])


def test_explain_without_the_build_says_so(built: Built, tmp_path: Path) -> None:
    made = load_report(built.folder / "report.json")
    (tmp_path / "report.json").write_text((built.folder / "report.json").read_text())
    baseline.save(
        baseline.of_report(made, replace(made.gates or Gates(), max_drop_pp=50)),
        tmp_path / "b.json",
    )
    checked = check.check([tmp_path], against=tmp_path / "b.json")[0]
    assert explain(checked.report, tmp_path)[0].startswith(
        "not explained: the build's files are not beside the report"
    )
