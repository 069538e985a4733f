"""Mixes that are simulated where their engines cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edge_scnet.config.target import QuantScheme
from edge_scnet.graph.model import load
from edge_scnet.graph.run import run_images
from edge_scnet.quantizer.recipe import prepare
from edge_scnet.sensitivity import noise, search
from edge_scnet.sensitivity.judged import SearchImages
from edge_scnet.sensitivity.result import Effort, Limit
from edge_scnet.sensitivity.show import chosen_words, search_table
from edge_scnet.sensitivity.simulated import Simulator
from edge_scnet.sensitivity.state import State
from tests.helpers.float_graphs import conv, graph_of, named_node
from tests.helpers.statistics import calibrated

SCHEME = QuantScheme(placement="tensorrt", rounding="nearest", bias_correction=False)


def network(folder: Path) -> Path:
    """Two convolutions and a classifier."""
    nodes = [
        conv("input", "w1", "a"),
        named_node("Relu", ["a"], "r"),
        conv("r", "w2", "b"),
        named_node("GlobalAveragePool", ["b"], "p"),
        named_node("Flatten", ["p"], "f"),
        named_node("Gemm", ["f", "w3"], "y"),
    ]
    weights = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 10)}
    path = folder / "m.onnx"
    ir.save(ir.serde.deserialize_model(graph_of(nodes, weights, (1, 3, 8, 8))), path)
    return path


def test_a_search_in_simulation_tells_accuracy_and_no_times(tmp_path: Path) -> None:
    path = network(tmp_path)
    images = np.random.default_rng(0).standard_normal((12, 3, 8, 8)).astype(np.float32)
    prepared = prepare(load(path), calibrated(path, images), SCHEME, weight_bits=8, images=images)
    data = SearchImages(images=images, labels=None, reference=run_images(load(path), images))
    sensitivities = noise.measure(prepared, images)
    simulator = Simulator(prepared, data)
    found = search.search(
        simulator,
        sensitivities,
        Limit(min_gain_db=2.0),
        State(tmp_path / "s.json", "key"),
        effort=Effort(budget_s=60.0),
    )
    assert found.simulated and found.chosen is not None and found.chosen.keep_float
    base = found.candidates[0]
    assert base.sqnr_db is not None and found.chosen.sqnr_db is not None
    assert found.chosen.sqnr_db >= base.sqnr_db + 2
    assert {engine.time_ratio for engine in found.candidates} == {None}
    # the one with the least work in float is the cheapest
    work = {name: simulator.measure([name]).float_work for name in ("a", "b")}
    assert work["a"] == pytest.approx(216 / (216 + 576 + 80 / 64), rel=0.01)
    assert "times are not measured here" in chosen_words(found)
    table = search_table(found)
    assert any("work in float" in line for line in table)
    assert any("no engine was built" in line for line in table)
