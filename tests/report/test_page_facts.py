"""Input, target, time and all facts, as people write them."""

from __future__ import annotations

from dataclasses import replace

from edge_scnet.report import page_facts
from edge_scnet.report.findings import Figure, at_most, judged
from tests.helpers.reports import provenance, report

SETTINGS = {
    "runtime": "openvino",
    "precision": "int8",
    "isa": "avx512_vnni",
    "quant": {"keep_float": [], "bias_correction": True},
}


def test_the_target_is_told_with_its_runtime_and_limit() -> None:
    bound = Figure(measured=0.1, unit="pp", limit=0.5, bound=at_most(0.5, "pp"))
    found = judged("accuracy", "top-1 drop", bound, "pass", "x")
    made = report(provenance=provenance(settings=SETTINGS), findings=(found,))
    assert page_facts.target_words(made) == (
        "cpu: OpenVINO 2026.4.1, AVX512-VNNI or better, 7-bit weights, batch 1; limit of the top-1"
        " drop: at most 0.50 pp"
    )
    board = {
        "tensorrt": "10.3",
        "jetpack": "6.1 to 7.2",
        "compute_capability": "8.7",
        "models": ["orin"],
    }
    settings = {"runtime": "tensorrt", "isa": "none", "board": board}
    made = report(provenance=provenance(settings=settings), target="jetson", batch=4)
    assert page_facts.target_words(made) == (
        "jetson: TensorRT 10.3, JetPack 6.1 to 7.2, compute capability 8.7, batch 4"
    )
    assert page_facts.target_words(report(provenance=None)) == "cpu: OpenVINO, batch 1"


def test_no_value_is_shown_as_python_writes_it() -> None:
    environment = {
        "features": ["sse4_1", "avx2"],
        "virtual": True,
        "governor": None,
        "memory_bytes": 25276063744,
        "packages": {"openvino": "2026.4.1", "extra": {"a": (1, 2.5, False)}},
        "mixed": [{"a": None}, []],
    }
    made = report(environment=environment, provenance=provenance(settings=SETTINGS))
    found = dict(page_facts.details(made))
    assert found["features"] == "sse4_1, avx2" and found["virtual"] == "yes"
    assert "governor" not in found and found["memory_bytes"] == "25,276,063,744"
    assert found["packages, openvino"] == "2026.4.1"
    assert found["packages, extra, a"] == "1, 2.5, no"
    assert found["settings, quant, keep_float"] == "none"
    assert found["settings, quant, bias_correction"] == "yes"
    assert not any(
        mark in value for value in found.values() for mark in ("{", "[", "'", "None", "True")
    )


def test_a_time_is_written_for_people_where_it_is_one() -> None:
    assert page_facts.when("2026-11-24T10:00:00+00:00") == "24 November 2026, 10:00 UTC"
    assert page_facts.when("2026-11-24T10:00:00") == "24 November 2026, 10:00"
    assert page_facts.when("yesterday") == "yesterday"


def test_the_version_that_measured_is_told() -> None:
    made = report()
    assert page_facts.made_by(made) == "edge-scnet"
    told = {**made.environment, "edge_scnet": "0.1.0"}
    assert page_facts.made_by(replace(made, environment=told)) == "edge-scnet 0.1.0"


def test_what_decides_the_figures_stands_above_them() -> None:
    names = [name for name, _ in page_facts.context(report(task="classification"))]
    assert names == ["Input", "Target", "Images", "Judged by"]
    assert [name for name, _ in page_facts.context(report(provenance=None, evaluation=None))] == [
        "Target"
    ]
