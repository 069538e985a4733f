"""The JSON Schema of reports: that of the records, and valid."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from edge_scnet.report import schema
from edge_scnet.report.run_report import SCHEMA
from edge_scnet.report.store import save_report
from tests.helpers.reports import full_report
from tests.helpers.tool import Built, Run

SHIPPED = Path(schema.__file__).parent / schema.FILE


def test_the_shipped_schema_is_that_of_the_records(invoke: Run) -> None:
    made = json.dumps(schema.schema(), indent=1) + "\n"
    assert SHIPPED.read_text() == made, (
        "python -m edge_scnet.report.schema > edge_scnet/report/report.schema.json"
    )
    assert invoke("report", "--schema").stdout == made
    jsonschema.Draft202012Validator.check_schema(schema.schema())


def test_real_and_made_reports_are_valid_and_wrong_ones_are_not(
    built: Built, tmp_path: Path
) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SHIPPED.read_text()))
    real = json.loads((built.folder / "report.json").read_text())
    validator.validate(real)
    save_report(full_report(), tmp_path / "r.json")
    made = json.loads((tmp_path / "r.json").read_text())
    validator.validate(made)
    assert made["sweep"] and made["flips"]["shown"] and made["load"], (
        "all that is optional is there"
    )
    for wrong in (
        {**real, "engines": 1},
        {**real, "schema": SCHEMA + 1},
        {k: v for k, v in real.items() if k != "verdict"},
        {**real, "batch": "one"},
    ):
        assert not validator.is_valid(wrong)


def test_every_field_that_has_a_unit_or_a_doubt_is_described() -> None:
    found = schema.schema()
    assert (
        found["properties"]["batch"]["description"]
        == "images per inference: what a latency is the time of"
    )
    assert all(record["description"] for record in found["$defs"].values())
    assert "description" not in found["properties"]["model"]
