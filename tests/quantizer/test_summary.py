"""Summaries of large tensors, computed inside the graph."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from edge_scnet.graph.run import Observer
from edge_scnet.quantizer import summary, thresholds
from tests.helpers.float_graphs import FIRST_CONV, TWO_WEIGHTS, conv, graph_of
from tests.helpers.statistics import stats_of


def test_the_histogram_counts_a_fixed_part_of_large_tensors_and_the_extremes_of_all() -> None:
    values = np.linspace(-1, 1, 10 * summary.SAMPLED_ELEMENTS, dtype=np.float32)
    values[1] = 9.0  # between two counted positions
    stats = stats_of(values)
    assert summary.SAMPLED_ELEMENTS // 2 < stats.elements <= summary.SAMPLED_ELEMENTS
    assert (stats.minimum, stats.maximum) == (-1.0, 9.0)
    low, high = thresholds.percentile(stats, 50.0)
    assert (low, high) == (pytest.approx(-0.5, abs=0.01), pytest.approx(0.5, abs=0.01))


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("batch", [1, 3])
def test_summaries_from_inside_the_graph_are_those_of_the_arrays(opset: int, batch: int) -> None:
    nodes = [FIRST_CONV, conv("a", "w2", "b"), helper.make_node("Flatten", ["b"], ["f"], name="f")]
    proto = graph_of(nodes, TWO_WEIGHTS, (batch, 4, 40, 40))
    proto.opset_import[0].version = opset
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))
    names = [str(model.graph.inputs[0].name), "a", "b", "f"]
    images = np.random.default_rng(1).standard_normal((4, 4, 40, 40)).astype(np.float32)
    inside = list(summary.Summarizer(model, names).run([images]))
    arrays = list(Observer(model, names).run([images]))
    assert len(inside) == len(arrays) == 4
    for found, values in zip(inside, arrays, strict=True):
        for name in names:
            wanted = summary.summarize(values[name])
            np.testing.assert_array_equal(found[name].low, wanted.low)
            np.testing.assert_array_equal(found[name].high, wanted.high)
            np.testing.assert_array_equal(found[name].sample, wanted.sample)
            assert found[name].finite


def test_each_tensor_is_summarized_before_the_next_is_computed() -> None:
    """Of two leaves ONNX Runtime computes the later one first, with all that it reads."""
    nodes = [FIRST_CONV, conv("a", "w2", "b"), conv("b", "w2", "c")]
    model = ir.serde.deserialize_model(
        onnx.shape_inference.infer_shapes(graph_of(nodes, TWO_WEIGHTS, (1, 4, 40, 40)))
    )
    summary._add_reductions(model, {"a", "b"}, sample=True)
    leaves = [node.inputs[0].name for node in model.graph if not tuple(node.outputs[0].uses())]
    first_of = {name: leaves.index(name) for name in ("a", "b")}
    assert first_of["b"] < first_of["a"]
