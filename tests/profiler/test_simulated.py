"""The outputs of graphs in ONNX Runtime, as of engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_scnet.data.batches import load
from edge_scnet.data.samples import SampleSet
from edge_scnet.profiler.simulated import evaluate_graphs
from tests.helpers.engines import SPEC
from tests.helpers.graphs import tiny_logits, tiny_onnx


@pytest.mark.parametrize("batch", [1, 4])
def test_graphs_give_what_engines_give(tmp_path: Path, samples: SampleSet, batch: int) -> None:
    shares: list[float] = []
    graph, same = tiny_onnx(tmp_path / "a.onnx"), tiny_onnx(tmp_path / "b.onnx", batch=batch)
    first, second = evaluate_graphs(
        [graph, same], samples, SPEC, lambda what, share, *counted: shares.append(share)
    )
    expected = tiny_logits(load(samples, SPEC))
    power = float((expected.astype(np.float64) ** 2).sum())
    for outputs in (first, second):
        assert outputs.logits is not None and outputs.finite
        np.testing.assert_allclose(outputs.logits, expected, atol=1e-5)
        assert outputs.names == ("logits", "twice")
        assert outputs.signal_power == first.own_power == pytest.approx((power, 4 * power))
    assert first.noise_power == (0.0, 0.0) and max(second.noise_power) < 1e-9 * power
    assert shares[-1] == 1
