"""The model card: YAML that parses to what the report says, and a page that obeys no name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_scnet.config.target import load_target
from edge_scnet.core.spec import TaskSpec
from edge_scnet.package import yaml_text
from edge_scnet.package.card import model_card
from edge_scnet.package.facts import PackageFacts
from tests.helpers.hostile import check_fit
from tests.helpers.served import HOSTILE, PIXELS, model, of_openvino, of_tensorrt


def front_matter(text: str) -> dict[str, Any]:
    assert text.startswith("---\n")
    head, dashes, _ = text[4:].partition("\n---\n")
    assert dashes
    found: dict[str, Any] = yaml.safe_load(head)
    return found


def body(text: str) -> str:
    return text[4:].partition("\n---\n")[2]


def test_the_front_matter_is_the_hub_s(tmp_path: Path) -> None:
    facts = of_openvino(tmp_path)
    found = front_matter(model_card(facts))
    assert found["license"] == "other"
    assert (found["license_name"], found["license_link"], found["datasets"]) == ("", "", [])
    assert found["library_name"] == "openvino"
    assert found["pipeline_tag"] == "image-classification"
    assert found["tags"] == ["edge-scnet", "int8", "openvino", "quantized"]
    assert found["metrics"] == ["accuracy", "top_5_accuracy"]
    (index,) = found["model-index"]
    (result,) = index["results"]
    assert index["name"] == "net"
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"type": "eval", "name": "eval, 2000 samples"}


def test_its_figures_are_the_report_s(tmp_path: Path) -> None:
    facts = of_openvino(tmp_path)
    row = facts.row
    assert row is not None and row.accuracy is not None and row.accuracy.labels is not None
    assert row.latency is not None
    text = model_card(facts)
    metrics = front_matter(text)["model-index"][0]["results"][0]["metrics"]
    assert metrics[0] == {
        "type": "accuracy",
        "value": round(row.accuracy.labels.top1_percent, 4),
        "name": "top-1, %",
    }
    table = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|", body(text), re.MULTILINE))
    assert table["latency p50, ms"] == f"{row.latency.p50_ms:.3f}"
    assert table["top-1, %"] == f"{row.accuracy.labels.top1_percent:.2f}"
    assert table["files, MB"] == "1.00"
    assert "OpenVINO 2026.4.1. Written by" in text
    assert "ship: it is faster" in text


def test_without_a_report_it_has_no_figure(tmp_path: Path) -> None:
    facts = replace(of_openvino(tmp_path), report=None, held_back="it was not measured")
    text = model_card(facts)
    found = front_matter(text)
    assert "model-index" not in found
    assert "metrics" not in found
    assert "This engine was not measured: there are no figures." in text
    assert "**This engine did not ship:** it was not measured" in text
    assert re.findall(r"\d ms|\d %|\d dB", text) == []


def test_without_labels_there_is_no_accuracy_and_the_agreement_is_told(tmp_path: Path) -> None:
    from tests.helpers.reports import report

    facts = of_openvino(tmp_path)
    measured = report(labelled=False, int8={"sha256": facts.engine.sha256})
    text = model_card(replace(facts, report=measured))
    assert "model-index" not in front_matter(text)
    assert "| agreement, % |" in text
    assert "no labels" in text


@pytest.mark.parametrize("kind", ["regression", "package.module:evaluator", "detection"])
def test_tasks_that_the_hub_does_not_know_have_no_tag(tmp_path: Path, kind: str) -> None:
    facts = replace(of_openvino(tmp_path), task=TaskSpec(kind=kind))
    expected = "object-detection" if kind == "detection" else None
    assert front_matter(model_card(facts)).get("pipeline_tag") == expected


def test_what_cannot_be_known_is_to_be_filled_in(tmp_path: Path) -> None:
    text = model_card(of_openvino(tmp_path))
    marked = [line for line in text.splitlines() if "fill in" in line]
    assert len(marked) >= 7
    assert any(line.startswith("license: other  # fill in") for line in marked)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("cpu", "Q/DQ where OpenVINO wants them"),
        ("onnxruntime", "Q/DQ where ONNX Runtime wants them"),
        ("jetson", "Q/DQ where TensorRT wants them"),
    ],
)
def test_it_names_whose_rules_placed_the_quantization(
    tmp_path: Path, target: str, words: str
) -> None:
    assert words in model_card(replace(of_openvino(tmp_path), target=load_target(target)))


def test_only_int8_on_x86_is_wrong_below_its_floor(tmp_path: Path) -> None:
    """Arm has no such products, and floats are the same everywhere."""
    facts = of_openvino(tmp_path)
    assert "On a CPU below avx2 its sums are wrong" in model_card(facts)
    for other in (replace(facts, precision="fp32"), replace(facts, floor="asimddp")):
        assert "its sums are wrong" not in model_card(other)


def test_a_plan_tells_its_board(tmp_path: Path) -> None:
    text = model_card(of_tensorrt(tmp_path))
    assert "NVIDIA Jetson Orin Nano, with exactly the TensorRT that built it" in text
    assert front_matter(text)["library_name"] == "tensorrt"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_all_kinds(tmp_path: Path, name: str) -> None:
    text = model_card(named(of_openvino(tmp_path), name))
    found = front_matter(text)
    kept = re.sub("[\ud800-\udfff]", "\ufffd", name)
    assert found["model-index"][0]["name"] == kept
    assert found["model-index"][0]["results"][0]["dataset"]["type"] == kept
    check_fit(text)
    titles = re.findall(r"^## (.*)$", body(text), re.MULTILINE)
    assert titles == ["Use", "Figures", "Machine", "Data", "Quantization", "Limits", "Licence"]


def named(facts: PackageFacts, name: str) -> PackageFacts:
    report = facts.report
    assert report is not None and report.evaluation is not None
    return replace(
        facts,
        model=model((name, "other"), name=name, arch=name),
        report=replace(report, evaluation=replace(report.evaluation, name=name, labels=name)),
        held_back=name,
    )


@pytest.mark.parametrize("name", [*HOSTILE, "\ud800", "\xa0", "~", "null", "0x10", "1_000", "<<"])
def test_texts_come_back_from_yaml_as_they_are(name: str) -> None:
    value = {"key": name, "list": [name, {"inner": name, "empty": [], "none": None}], "n": 1.5}
    text = "\n".join(yaml_text.lines(value))
    kept = re.sub("[\ud800-\udfff]", "\ufffd", name)
    assert yaml.safe_load(text) == {
        "key": kept,
        "list": [kept, {"inner": kept, "empty": [], "none": None}],
        "n": 1.5,
    }
    check_fit(text)


def test_it_says_what_the_engine_takes(tmp_path: Path) -> None:
    assert "- The engine takes float32 1 x 3 x 32 x 48.\n" in model_card(of_openvino(tmp_path))
    text = model_card(of_openvino(tmp_path, input=PIXELS))
    assert "- The engine takes uint8 1 x 32 x 48 x 3: the pixels as they are" in text
