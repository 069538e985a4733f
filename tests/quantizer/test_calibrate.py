"""Calibration: the same for every batch size, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from edge_scnet.data.batches import load
from edge_scnet.data.samples import open_samples
from edge_scnet.errors import DataError, StorageError
from edge_scnet.models import zoo
from edge_scnet.quantizer import calibrate, statistics, thresholds
from edge_scnet.quantizer.placement import place
from edge_scnet.quantizer.ranges_file import load_ranges, save_ranges
from tests.helpers.float_graphs import (
    FIRST_CONV,
    SCHEME,
    TWO_WEIGHTS,
    USERS_GRAPHS,
    conv,
    graph_of,
)
from tests.helpers.statistics import calibrated, same
from tests.helpers.tool import Built


def test_calibration_is_the_same_for_every_batch_size_and_order(built: Built) -> None:
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = open_samples(built.calib, model=spec, role="calibration")
    images = load(samples, spec, range(24))
    model = built.folder / "model.onnx"

    def run(chunks: list[np.ndarray]) -> statistics.Ranges:
        return calibrated(model, *chunks)

    reference = run([images])
    others = [run(np.split(images, 24)), run([images[::-1]]), run([images[:5], images[5:]])]
    for other in others:
        assert all(same(stats, other.tensors[name]) for name, stats in reference.tensors.items())
    assert reference.images == 24
    assert reference.tensors["input"].elements == 24 * 28 * 28


def test_minmax_needs_no_histogram(built: Built) -> None:
    images = np.zeros((3, 1, 28, 28), np.float32)
    found = calibrated(built.folder / "model.onnx", images, histogram=False)
    assert all(stats.elements == 0 for stats in found.tensors.values())
    assert thresholds.thresholds(found.tensors["input"], "minmax", 99.0) == (0.0, 0.0)


def logarithm(path: Path) -> np.ndarray:
    """A graph whose tensor "l" is NaN on the images, which are returned."""
    nodes = [FIRST_CONV, helper.make_node("Log", ["a"], ["l"], name="l"), conv("l", "w2", "b")]
    onnx.save(graph_of(nodes, TWO_WEIGHTS), path)
    return np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)


def test_a_tensor_that_is_not_finite_must_be_only_where_it_is_quantized(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    images = logarithm(path)
    equalization = calibrate.Equalization(pilot=[images], strength=0.75)
    found = calibrated(path, images, equalization=equalization)
    assert found.not_finite == ("l",) and "l" not in found.tensors and "input" in found.tensors
    save_ranges(found, tmp_path / "ranges.npz")
    assert load_ranges(tmp_path / "ranges.npz").not_finite == ("l",)
    with pytest.raises(DataError, match="NaN or infinity on a calibration image, in 'l'") as caught:
        place(ir.load(path), found, SCHEME)
    assert "quant.keep_float = ['b']" in str(caught.value.hint)
    kept = place(ir.load(path), found, replace(SCHEME, keep_float=("b",)))
    assert kept.int8_nodes == ("a",)


def test_a_model_that_is_finite_nowhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    images = np.full_like(logarithm(path), np.nan)
    with pytest.raises(DataError, match="in 'input' and in all of its 3 tensors"):
        calibrated(path, images)


def test_a_run_that_cannot_fit_the_memory_is_refused_with_both_figures(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "available_memory_bytes", lambda: 10_000_000)
    with pytest.raises(StorageError, match=r"needs about [\d,]+ MB of memory, 10 MB are free"):
        calibrated(built.folder / "model.onnx", np.zeros((2, 1, 28, 28), np.float32))


def test_the_pilot_images_do_not_depend_on_the_order_of_the_set() -> None:
    hashes = [f"{i * 7919 % 1000:04}" for i in range(50)]
    chosen = [hashes[i] for i in calibrate.pilot_indices(hashes, 8)]
    assert chosen == [hashes[::-1][i] for i in calibrate.pilot_indices(hashes[::-1], 8)]
    assert len(calibrate.pilot_indices(hashes[:3], 8)) == 3


def test_calibration_says_when_images_are_missing(built: Built) -> None:
    with pytest.raises(DataError, match="2 calibration images were read, 3 were listed"):
        calibrated(built.folder / "model.onnx", np.zeros((2, 1, 28, 28), np.float32), expected=3)


def test_a_larger_static_batch_gives_the_statistics_of_the_images_alone(tmp_path: Path) -> None:
    images = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
    found = []
    for batch in (1, 3):
        path = tmp_path / f"{batch}.onnx"
        onnx.save(
            graph_of(
                USERS_GRAPHS["relu6"][:1] + USERS_GRAPHS["one weight for two convolutions"][1:],
                TWO_WEIGHTS,
                (batch, 4, 8, 8),
            ),
            path,
        )
        found.append(calibrated(path, images))
    assert all(
        stats.elements == found[1].tensors[name].elements
        for name, stats in found[0].tensors.items()
    )
    assert same(found[0].tensors["input"], found[1].tensors["input"])
