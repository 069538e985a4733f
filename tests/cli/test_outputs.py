"""What is printed and kept as JSON, by its published schema; `schema` itself.

What other tests print with `--json` is held to the schemas too: tests/helpers/schemas.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from edge_scnet.cli import outputs
from edge_scnet.cli.outputs import DOCUMENTS
from edge_scnet.compile import bundle
from edge_scnet.core import manifest
from edge_scnet.core.json_schema import schema_of
from edge_scnet.gate import baseline
from edge_scnet.report import run_report
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report
from edge_scnet.runtimes.tensorrt import board_json
from edge_scnet.sensitivity import state
from edge_scnet.sensitivity.result import Limit
from tests.helpers.folders import constant, float_build
from tests.helpers.reports import full_report, report
from tests.helpers.schemas import PUBLISHED, validator
from tests.helpers.search import COST, TABLE, Table, run
from tests.helpers.tool import Built, Run


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_published_schema_is_that_of_the_records(name: str, invoke: Run) -> None:
    made = invoke("schema", name).stdout
    renew = "edge-scnet schema --out docs/schemas"
    assert (PUBLISHED / f"{name}.json").read_text() == made, renew
    records = json.loads(made).get("$defs", {}).values()
    assert all(record["description"] for record in records)


@pytest.mark.parametrize("name", ["files", "predict", "sensitivity-file", "baseline-update"])
def test_schemas_of_every_form_are_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(outputs.schema_of_kind(name))


def test_no_other_schema_is_published_and_the_table_lists_all() -> None:
    assert {path.stem for path in PUBLISHED.iterdir()} == set(DOCUMENTS)
    lines = (PUBLISHED.parent / "reference" / "reports.md").read_text().splitlines()
    for name, document in DOCUMENTS.items():
        link = f"| [{name}](../schemas/{name}.json) |"
        (row,) = [line for line in lines if line.startswith(link)]
        assert f"| {document.schema} |" in row


def test_the_numbers_are_those_that_files_are_read_by() -> None:
    assert {name: document.schema for name, document in DOCUMENTS.items()} | {
        "report": run_report.SCHEMA,
        "manifest": manifest.SCHEMA,
        "baseline": baseline.SCHEMA,
        "bundle": bundle.SCHEMA,
        "board": board_json.SCHEMA,
        "sensitivity-file": state.SCHEMA,
    } == {name: document.schema for name, document in DOCUMENTS.items()}


def test_schemas_are_listed(invoke: Run, tmp_path: Path) -> None:
    text, shown = invoke("schema"), invoke("schema", "--json")
    assert (text.code, shown.code) == (0, 0)
    listed = json.loads(shown.stdout)["schemas"]
    assert [entry["name"] for entry in listed] == list(DOCUMENTS)
    assert [line.split()[:2] for line in text.stdout.splitlines()] == [
        [entry["name"], str(entry["number"])] for entry in listed
    ]
    assert invoke("schema", "--out", tmp_path / "all", "--json").stdout == shown.stdout
    assert {path.stem for path in (tmp_path / "all").iterdir()} == set(DOCUMENTS)
    assert invoke("schema", "report", "--out", tmp_path).code == 2
    unknown = invoke("schema", "reprot")
    assert unknown.code == 2 and "did you mean report?" in unknown.stderr


def test_real_and_made_reports_are_valid_and_wrong_ones_are_not(
    built: Built, tmp_path: Path
) -> None:
    real = json.loads((built.folder / "report.json").read_text())
    validator("report").validate(real)
    assert real == json.loads(built.outcome.stdout) and real["kind"] == "report"
    save_report(full_report(), tmp_path / "r.json")
    made = json.loads((tmp_path / "r.json").read_text())
    validator("report").validate(made)
    assert made["sweep"] and made["flips"]["shown"] and made["load"], "all that is optional"
    for wrong in (
        {**real, "engines": 1},
        {**real, "schema": run_report.SCHEMA + 1},
        {k: v for k, v in real.items() if k != "verdict"},
        {**real, "batch": "one"},
    ):
        assert not validator("report").is_valid(wrong)


def test_what_has_a_unit_or_a_doubt_is_described() -> None:
    found = outputs.schema_of_kind("report")["properties"]
    assert found["batch"]["description"] == "images per inference: what a latency is the time of"
    assert "description" not in found["model"]


def test_files_of_a_build_are_valid(built: Built) -> None:
    content = json.loads((built.folder / "manifest.json").read_text())
    validator("manifest").validate(content)
    facts = content["artifacts"]["model.qdq.onnx"]["facts"]
    del facts["quantization"]
    assert not validator("manifest").is_valid(content)


def test_a_baseline_is_valid(reported: Callable[[RunReport], tuple[Path, Path]]) -> None:
    _, known = reported(report())
    content = json.loads(known.read_text())
    validator("baseline").validate(content)
    assert not validator("baseline").is_valid({**content, "limits": {"max_drop_pp": "much"}})


def test_sensitivities_are_valid(tmp_path: Path) -> None:
    path, limit = tmp_path / "s.json", Limit(min_gain_db=3.0)
    result = run(Table(TABLE, COST), limit, path)
    validator("sensitivity-file").validate(json.loads(path.read_text()))
    kept = state.State(path, "key")
    kept.add_result(result, limit)
    searched = json.loads(path.read_text())
    validator("sensitivity-file").validate(searched)
    assert searched["finished"]


def test_a_search_is_printed_with_its_front(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(Table(TABLE, COST), Limit(min_gain_db=3.0), tmp_path / "s.json")
    outputs.show("sensitivity", result)
    shown = json.loads(capsys.readouterr().out)
    validator("sensitivity").validate(shown)
    assert [tuple(engine["keep_float"]) for engine in shown["pareto"]] == [
        engine.keep_float for engine in result.pareto
    ]
    assert not validator("sensitivity").is_valid({k: v for k, v in shown.items() if k != "pareto"})


def test_the_bundle_s_first_file_is_valid() -> None:
    header = bundle.BundleHeader(schema=bundle.SCHEMA, edge_scnet="0.1.0", files={"a": "b"})
    validator("bundle").validate(msgspec.to_builtins(header))
    assert not validator("bundle").is_valid(msgspec.to_builtins(replace(header, schema=1)))


def test_every_task_s_prediction_is_valid(tmp_path: Path, bag: Path, invoke: Run) -> None:
    build = float_build(tmp_path / "b", constant({"out": np.array([[0.5, 0.25, 0.75, 0.5]])}))
    forms = set()
    tasks = ("classification", "multilabel", "keypoints", "regression", "embedding", "features")
    for task in tasks:
        outcome = invoke("predict", build, bag, "--task", task, "--json")
        assert outcome.code == 0, outcome.stderr
        (said,) = json.loads(outcome.stdout)["predictions"]
        assert said["task"] == task
        forms.add(said["form"])
    assert forms == {"classes", "labels", "points", "values", "vector", "outputs"}


def test_verify_says_every_fault(
    invoke: Run, reported: Callable[[RunReport], tuple[Path, Path]], tmp_path: Path
) -> None:
    _, known = reported(report())
    fine = invoke("verify", known, "--json")
    assert (fine.code, fine.stderr) == (0, "")
    assert json.loads(fine.stdout) == {"schema": 1, "kind": "verify", "files": 1, "faults": []}
    known.write_text(known.read_text().replace('"net"', '"other"'))
    wrong = invoke("verify", known, tmp_path / "none.json", "--json")
    content = json.loads(wrong.stdout)
    assert (wrong.code, content["files"]) == (6, 2)
    edited, missing = content["faults"]
    assert "was edited by hand" in edited["error"] and "git checkout" in edited["hint"]
    assert "no baseline at" in missing["error"] and missing["exit_code"] == 6
    assert wrong.stderr.count("error: ") == 2


def test_updates_are_valid(invoke: Run, reported: Callable[[RunReport], tuple[Path, Path]]) -> None:
    path, known = reported(report(noise=0.03))
    outcome = invoke("baseline", "update", path, "--baseline", known, "--accept", "why", "--json")
    (updated,) = json.loads(outcome.stdout)["baselines"]
    assert updated["baseline"] == str(known) and not updated["new"] and updated["changes"]


def test_a_type_without_a_form_in_json_is_a_mistake() -> None:
    class Odd(msgspec.Struct):
        field: complex

    def made() -> Any:
        return schema_of([Odd], title="odd", front={})

    with pytest.raises(TypeError):
        made()


def test_a_file_that_cannot_be_written_is_the_one_failure(
    invoke: Run, reported: Callable[[RunReport], tuple[Path, Path]]
) -> None:
    path, known = reported(report())
    junit = known.parent / "none" / "j.xml"
    outcome = invoke("check", path, "--baseline", known, "--junit", junit, "--json")
    assert outcome.code == 9 and json.loads(outcome.stdout)["kind"] == "failure"
