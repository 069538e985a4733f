"""The outputs of graphs in ONNX Runtime, as of engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.core.files import sha256_file
from edge_scnet.data.batches import load
from edge_scnet.data.samples import SampleSet
from edge_scnet.profiler.simulated import evaluate_graphs
from tests.helpers.engines import SPEC
from tests.helpers.graphs import tiny_logits, tiny_onnx
from tests.helpers.scale import pool_of


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


def test_samples_that_workers_are_done_with_do_not_stay_on_the_disk(
    tmp_path: Path, samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    graph = tiny_onnx(tmp_path / "a.onnx")
    with ThreadPoolExecutor(2) as threads, pool_of(threads, tmp_path / "kept") as (pool, events):
        before = {*tmp_path.rglob("*")}
        evaluate_graphs([graph], samples, SPEC, events.progress, pool=pool)
        left = [path for path in {*tmp_path.rglob("*")} - before if path.is_file()]
    inputs = [path for path in left if not path.is_relative_to(tmp_path / "kept")]
    assert [path.name for path in inputs] == [sha256_file(graph)]


@pytest.mark.parametrize("batch", [1, 4])
def test_workers_give_the_same_bits(tmp_path: Path, samples: SampleSet, batch: int) -> None:
    files = [tiny_onnx(tmp_path / "a.onnx"), tiny_onnx(tmp_path / "b.onnx", batch=batch)]
    here = evaluate_graphs(files, samples, SPEC, lambda what, share, *counted: None)
    with ThreadPoolExecutor(2) as threads, pool_of(threads, tmp_path / "kept") as (pool, events):
        found = evaluate_graphs(files, samples, SPEC, events.progress, pool=pool)
        assert " by 1 worker" in pool.told() and events.shares[-1] == 1
    for own, other in zip(found, here, strict=True):
        assert own.logits is not None and np.array_equal(own.logits, other.logits)
        for name in ("signal_power", "noise_power", "own_power", "hidden_db", "names", "finite"):
            assert getattr(own, name) == getattr(other, name), name
