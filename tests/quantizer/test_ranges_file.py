"""The file of ranges comes back as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_scnet.errors import ArtifactError
from edge_scnet.quantizer import ranges_file, statistics
from tests.helpers.statistics import same, stats_of


def test_ranges_file_round_trips_and_refuses_others(tmp_path: Path) -> None:
    original = statistics.Ranges(
        tensors={"a": stats_of(np.arange(10.0)), "b/Relu": stats_of(np.zeros(3))},
        factors={"a": np.array([0.5, 1.0], np.float32)},
        drift=statistics.Drift(median_percent=1.0, worst_percent=2.0, worst_tensor="a", images=2),
        images=2,
        model_sha256="m",
        samples_hash="s",
        content_hashes=("h1", "h2"),
    )
    path = tmp_path / "ranges.npz"
    ranges_file.save_ranges(original, path)
    loaded = ranges_file.load_ranges(path)
    assert (loaded.images, loaded.model_sha256, loaded.samples_hash) == (2, "m", "s")
    assert loaded.content_hashes == ("h1", "h2")
    assert loaded.drift == original.drift
    assert list(loaded.factors) == ["a"] and np.array_equal(
        loaded.factors["a"], original.factors["a"]
    )
    assert all(same(stats, loaded.tensors[name]) for name, stats in original.tensors.items())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="not a file of calibration statistics"):
        ranges_file.load_ranges(path)
