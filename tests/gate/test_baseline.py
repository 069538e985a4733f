"""The sealed file of a baseline, of this version and of older ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.gate import baseline, regression
from edge_scnet.report.findings import exit_code
from edge_scnet.report.run_report import Flip, Flips, Said, WorstSample
from edge_scnet.report.store import to_json
from tests.helpers.reports import report

COMMITTED = sorted((Path(__file__).parents[1] / "baselines").glob("*.json"))
FIRST_SCHEMA = Path(__file__).parent / "first_schema.json"


def test_the_file_of_the_first_schema_is_one() -> None:
    content = json.loads(FIRST_SCHEMA.read_text())
    assert content["schema"] == 1 and "role" not in content["report"]["engines"][0]


@pytest.mark.parametrize("path", [*COMMITTED, FIRST_SCHEMA], ids=lambda path: path.stem)
def test_committed_baselines_are_read_and_hold_themselves(path: Path) -> None:
    loaded = baseline.load(path)
    assert [row.role for row in loaded.report.engines] == ["reference", "int8"]
    findings = regression.compare(loaded.report, loaded.report, limits=loaded.limits)
    assert findings and exit_code(findings) == 0


def test_what_is_written_is_read_back_without_raw_samples(tmp_path: Path) -> None:
    made = baseline.of_report(report(), Gates())
    baseline.save(made, tmp_path / "b.json")
    assert baseline.load(tmp_path / "b.json") == made
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["schema"] == baseline.SCHEMA
    latencies = [row["latency"] for row in content["report"]["engines"]]
    assert all(latency["samples_ns"] == latency["blocks"] == [] for latency in latencies)


def test_pictures_of_somebodys_images_are_left_out() -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    said = (Said(by="fp32", lines=("1 object",), picture=url),)
    worst = (WorstSample(sample="a.png", said=said, picture=url),)
    flip = Flip(
        image="b.png",
        kind="lost",
        truth=1,
        was=1,
        now=2,
        was_percent=60,
        now_percent=55,
        thumbnail=url,
    )
    made = report(worst=worst, flips=Flips(count=1, shown=(flip,)))
    assert "data:image" in to_json(made)
    assert "data:image" not in to_json(baseline.of_report(made, Gates()).report)
