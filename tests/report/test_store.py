"""Reports of older and other schemas, and damaged ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_scnet.cli.outputs import schema_of_kind
from edge_scnet.errors import ArtifactError
from edge_scnet.report.run_report import SCHEMA
from edge_scnet.report.store import load_report, profile_command, save_report
from tests.helpers.reports import OLD
from tests.helpers.tool import Run

DATA = OLD.parent


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


@pytest.mark.parametrize("version", [1, 2])
def test_rows_and_findings_of_older_schemas_get_their_role_and_kind(version: int) -> None:
    path = DATA / f"report-schema-{version}.json"
    content, old = json.loads(path.read_text()), load_report(path)
    assert content["schema"] == version and "role" not in content["engines"][0]
    assert [(row.name, row.role) for row in old.engines] == [
        ("fp32", "reference"),
        ("default", "default"),
        ("int8", "int8"),
    ]
    assert [(finding.metric, finding.kind) for finding in old.findings] == [
        ("top-1 drop", "accuracy"),
        ("speed", "speed"),
    ]
    for row, before in zip(old.engines, content["engines"], strict=True):
        assert row.accuracy is not None and row.accuracy.labels is not None
        figures = {**asdict(row.accuracy), **asdict(row.accuracy.labels)}
        del figures["labels"], figures["task"], figures["doubts"], figures["has_sqnr"]
        defaults = {"ece_percent": None, "reference_ece_percent": None} if version == 1 else {}
        assert figures == {**before["accuracy"], **defaults}


def test_a_report_of_the_second_schema_is_shown_compared_and_gated(
    invoke: Run, tmp_path: Path
) -> None:
    path, baseline = DATA / "report-schema-2.json", tmp_path / "baseline.json"
    outcome = invoke("report", path, "--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    assert outcome.code == 0, outcome.stderr
    assert "Flipped images" in (tmp_path / "r.html").read_text()
    compared = invoke("compare", path, path, "--json")
    assert compared.code == 0
    (comparison,) = json.loads(compared.stdout)["comparisons"]
    figures = {figure["figure"]: figure for figure in comparison["figures"]}
    assert figures["top-1"]["better"] == figures["size"]["better"] == "same"
    assert invoke("baseline", "update", path, "--baseline", baseline).code == 0
    checked = invoke("check", path, "--baseline", baseline)
    assert checked.code == 0, checked.stdout + checked.stderr
    # what is written of it again is of this schema
    save_report(load_report(path), tmp_path / "again.json")
    jsonschema.Draft202012Validator(schema_of_kind("report")).validate(
        json.loads((tmp_path / "again.json").read_text())
    )
    assert load_report(tmp_path / "again.json") == load_report(path)


def test_unlabelled_accuracy_of_an_older_schema_has_no_labels(tmp_path: Path) -> None:
    content = json.loads((DATA / "report-schema-2.json").read_text())
    for row in content["engines"]:
        kept = ("images", "agreement_percent", "agreeing", "sqnr_db")
        row["accuracy"] |= {key: None for key in row["accuracy"] if key not in kept}
    (tmp_path / "r.json").write_text(json.dumps(content))
    accuracy = load_report(tmp_path / "r.json").engines[2].accuracy
    assert accuracy is not None and accuracy.labels is None and accuracy.agreeing is not None


@pytest.mark.parametrize("version", [SCHEMA + 1, 99, 0, "2", None])
def test_a_report_of_another_schema_is_refused(tmp_path: Path, invoke: Run, version: Any) -> None:
    content = {**json.loads(OLD.read_text()), "schema": version}
    (tmp_path / "r.json").write_text(json.dumps(content))
    outcome = invoke("report", tmp_path / "r.json")
    has = "no schema number" if version is None else f"schema {json.dumps(version)}"
    assert outcome.code == 6
    assert f"r.json has {has}, this version reads 1 to {SCHEMA}" in outcome.stderr
    newer = isinstance(version, int) and version > SCHEMA
    assert ("a newer edge-scnet is needed here" in outcome.hint) == newer


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000])
def test_a_truncated_report_is_named(tmp_path: Path, kept: int) -> None:
    (tmp_path / "r.json").write_text(OLD.read_text()[:kept])
    with pytest.raises(ArtifactError, match=r"r\.json is not a report"):
        load_report(tmp_path / "r.json")


def test_a_report_that_is_not_there_is_made_by_the_command_for_its_own_folder(
    tmp_path: Path,
) -> None:
    assert profile_command(tmp_path / "r.json") == "edge-scnet profile BUILD_FOLDER"
    folder = tmp_path / "my net"
    folder.mkdir()
    (folder / "manifest.json").touch()
    with pytest.raises(ArtifactError) as raised:
        load_report(folder / "report.json")
    assert raised.value.hint == f"make one: edge-scnet profile '{folder}'"


def test_a_folder_above_build_folders_names_them(tmp_path: Path) -> None:
    from edge_scnet.errors import ArtifactError
    from edge_scnet.report.store import load_report, save_report
    from tests.helpers.reports import report

    folder = tmp_path / "build" / "net" / "cpu"
    folder.mkdir(parents=True)
    save_report(report(), folder / "report.json")
    for above in (tmp_path / "build", tmp_path / "build" / "net"):
        with pytest.raises(ArtifactError) as refused:
            load_report(above / "report.json")
        assert refused.value.hint == f"name a build folder: {folder}"
    with pytest.raises(ArtifactError) as refused:
        load_report(tmp_path / "build" / "r.json")
    assert refused.value.hint is not None and "make one" in refused.value.hint
