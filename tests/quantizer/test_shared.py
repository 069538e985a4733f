"""Calibration by workers gives the statistics that this process gives, bit for bit."""

from __future__ import annotations

import math
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_scnet.core.files import sha256_bytes
from edge_scnet.errors import DataError
from edge_scnet.quantizer.calibrate import CalibrationImages, Equalization, calibrate
from edge_scnet.quantizer.shared import collect_by
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.scale.pool import Pool
from edge_scnet.scale.processes import Processes
from tests.helpers.float_graphs import FIRST_CONV, TWO_WEIGHTS, conv, graph_of, named_node
from tests.helpers.scale import pool_of
from tests.helpers.statistics import same

COUNT = 150


def images_of(count: int = COUNT) -> tuple[np.ndarray, CalibrationImages]:
    """Images whose ranges grow, so that the grids of shards differ, and what calibration takes."""
    rng = np.random.default_rng(0)
    scales = np.geomspace(0.01, 10, count, dtype=np.float32)[:, None, None, None]
    images = (rng.standard_normal((count, 4, 8, 8)).astype(np.float32) - 0.2) * scales
    hashes = tuple(sha256_bytes(image.tobytes()) for image in images)
    batches = np.array_split(images, 11)
    told = CalibrationImages(batches=batches, count=count, samples_hash="x", content_hashes=hashes)
    return images, told


@pytest.fixture
def model(tmp_path: Path) -> Path:
    nodes = [FIRST_CONV, named_node("Relu", ["a"], "r"), conv("r", "w2", "b")]
    path = tmp_path / "calibrated.onnx"
    onnx.save(graph_of(nodes, TWO_WEIGHTS), path)
    return path


def collected(
    model: Path,
    pool: Pool | None,
    progress: Callable[[int], None] = lambda done: None,
    **changes: object,
) -> Ranges:
    images, told = images_of()
    return calibrate(
        model,
        replace(told, **changes),
        equalization=Equalization(pilot=[images[:24]], strength=0.75),
        progress=progress,
        collect=None if pool is None else collect_by(pool),
    )


def are_equal(one: Ranges, other: Ranges) -> bool:
    assert one.tensors.keys() == other.tensors.keys() and one.drift == other.drift
    assert (one.images, one.not_finite) == (other.images, other.not_finite)
    return all(same(stats, other.tensors[name]) for name, stats in one.tensors.items())


def test_workers_give_the_statistics_of_this_process(model: Path, tmp_path: Path) -> None:
    here = collected(model, None)
    assert here.drift is not None and not math.isnan(here.drift.worst_percent)
    counts: list[int] = []
    with ThreadPoolExecutor(2) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        assert are_equal(here, collected(model, pool, counts.append))
        assert pool.told().startswith("3 tasks by") and counts == [64, 128, COUNT]


def test_a_shard_is_removed_when_its_task_is_done(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a large set lies on the disk of temporary files once more."""
    (tmp_path / "inputs").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "inputs"))
    monkeypatch.setattr("edge_scnet.scale.shards._MOST_IMAGES", 4)
    images, told = images_of()
    most = 0

    def watched() -> Iterator[np.ndarray]:
        nonlocal most
        for image in images:
            most = max(most, len(files_in(tmp_path / "inputs")))
            yield image[None]

    with ThreadPoolExecutor(2) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        found = calibrate(model, replace(told, batches=watched()), collect=collect_by(pool))
        # the graph's file, and of the 38 shards those that wait for the two workers
        assert 2 <= most <= 8 and files_in(tmp_path / "inputs") == []
    assert are_equal(found, calibrate(model, told))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_minimum_and_maximum_alone_are_shared_too(model: Path, tmp_path: Path) -> None:
    _, told = images_of()
    here = calibrate(model, told, histogram=False)
    with ThreadPoolExecutor(2) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        assert are_equal(here, calibrate(model, told, histogram=False, collect=collect_by(pool)))


def test_a_tensor_that_is_not_finite_is_found_by_workers(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    nodes = [FIRST_CONV, named_node("Log", ["a"], "l"), conv("l", "w2", "b")]
    onnx.save(graph_of(nodes, TWO_WEIGHTS), path)
    _, told = images_of()
    here = calibrate(path, told)
    with ThreadPoolExecutor(2) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        found = calibrate(path, told, collect=collect_by(pool))
    assert are_equal(here, found) and "l" in found.not_finite


def test_another_number_of_images_is_refused(model: Path, tmp_path: Path) -> None:
    with (
        ThreadPoolExecutor(1) as threads,
        pool_of(threads, tmp_path / "kept") as (pool, _),
        pytest.raises(DataError, match="150 calibration images were read, 151 were listed"),
    ):
        collected(model, pool, count=COUNT + 1)


@pytest.mark.slow
def test_processes_that_are_killed_change_no_bit(model: Path, tmp_path: Path) -> None:
    here, over = collected(model, None), threading.Event()
    rng, killed = random.Random(0), 0
    with Processes(2) as processes, pool_of(processes, tmp_path / "kept") as (pool, events):

        def kill() -> None:
            nonlocal killed
            while not over.wait(rng.uniform(0.3, 0.6)):
                if killed < 3 and (numbers := processes.process_ids):
                    os.kill(rng.choice(numbers), signal.SIGKILL)
                    killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            for _ in range(3):
                assert are_equal(here, collected(model, pool))
        finally:
            over.set()
            killer.join()
    assert killed and len(events.warnings) <= killed
