"""Node data: values by the names that a viewer gives nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from edge_scnet.report.node_data import node_data
from edge_scnet.report.run_report import RunReport
from edge_scnet.stats.figures import NoisePart
from tests.helpers.reports import report
from tests.report.test_blocks import layer

NOISE = (NoisePart(module="conv1", percent=75.0), NoisePart(module="logits", percent=25.0))


def made() -> RunReport:
    layers = (
        layer("Multiply_15", "conv1", "relu/Relu/Q", ms=2.0, name="conv1/WithoutBiases"),
        layer("relu/Relu/Q", ms=0.5, precision="f32"),
        layer("logits", ms=0.25, precision="f32"),
        layer("Convert_3", ms=0.125, precision="f32", kind="Convert"),
    )
    return replace(report(int8={"layer_times": layers}), noise=NOISE)


def read(files: dict[str, str]) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in files.items()}


def test_values_stand_at_the_graph_s_own_names() -> None:
    ids = {"conv1": "conv1", "relu/Relu/Q": "relu/Relu/Q", "logits": "fc", "fc": "fc"}
    files = read(node_data(made(), ids))
    assert list(files) == [
        "node_data.time.json",
        "node_data.precision.json",
        "node_data.noise.json",
    ]
    time, precision, noise = files.values()
    # a kernel's time stands once, so that sums over modules are right
    assert time["results"] == {
        "conv1": {"value": 2.0},
        "relu/Relu/Q": {"value": 0.5},
        "fc": {"value": 0.25},
    }
    assert [stop["stop"] for stop in time["gradient"]] == [0, 1]
    assert {node: entry["value"] for node, entry in precision["results"].items()} == {
        "fc": "f32",
        "relu/Relu/Q": "u8",
        "conv1": "u8",
    }
    colors = {entry["value"]: entry["bgColor"] for entry in precision["results"].values()}
    assert colors["u8"] != colors["f32"]
    assert noise["results"] == {"conv1": {"value": 75.0}, "fc": {"value": 25.0}}


def test_without_the_graph_the_runtime_s_names_are_kept() -> None:
    time = read(node_data(made()))["node_data.time.json"]
    assert set(time["results"]) == {"conv1", "relu/Relu/Q", "logits", "Convert_3"}


def test_what_was_not_measured_has_no_file() -> None:
    assert node_data(report()) == {}
