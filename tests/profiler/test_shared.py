"""Accuracy by workers: the bits that the engines' own processes give, whoever computes them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.core.events import Progress
from edge_scnet.data.samples import SampleSet
from edge_scnet.profiler.child import Server
from edge_scnet.profiler.measure import Measured, MeasureSettings, measure
from edge_scnet.profiler.outputs import Outputs, evaluate
from edge_scnet.profiler.process import EngineFile, timed_images
from edge_scnet.profiler.shared import evaluate_by, opened_by
from edge_scnet.runtimes.openvino import OPENVINO
from edge_scnet.scale import task as tasks
from edge_scnet.scale.pool import Pool
from edge_scnet.scale.processes import Processes
from tests.helpers.engines import SPEC, engine_file, quiet
from tests.helpers.graphs import tiny_onnx
from tests.helpers.scale import pool_of

FIGURES = (
    "signal_power",
    "noise_power",
    "own_power",
    "hidden_db",
    "names",
    "finite",
    "kept",
    "varies",
    "counted",
    "whole",
)


class Here:
    """The parent's end of an engine's process, in this one."""

    def __init__(self, engine: EngineFile, timed: SampleSet) -> None:
        self.engine, self._server = engine, Server()
        images = timed_images(timed, SPEC)
        loaded = self._server.load(engine.runtime, engine.path, engine.options, images)
        self.batch = loaded.batch

    def call(self, method: str, *args: Any) -> Any:
        return getattr(self._server, method)(*args)

    def start(self, method: str, *args: Any) -> None:
        self._answer = self.call(method, *args)

    def result(self) -> Any:
        return self._answer


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chunks of 5 images of the 13, and workers in this process that keep nothing."""
    monkeypatch.setattr("edge_scnet.profiler.outputs._CHUNK_BYTES", 5 * 6 * 6 * 4)
    monkeypatch.setattr(tasks, "_kept", tasks._Kept())
    yield


def same(own: list[Outputs], other: list[Outputs]) -> bool:
    """Whether all figures are the same bits."""
    for a, b in zip(own, other, strict=True):
        assert a.logits is not None and b.logits is not None
        assert a.logits.tobytes() == b.logits.tobytes()
        for name in FIGURES:
            assert getattr(a, name) == getattr(b, name), name
    return True


def evaluated_by(
    executor: int | Executor, children: Any, samples: SampleSet, kept: Path
) -> tuple[list[Outputs], str, list[float], list[str]]:
    """The outputs by workers, what the pool told, the progress and the warnings."""
    with pool_of(executor, kept) as (pool, events):
        engines = [opened_by(child) for child in children]
        found = evaluate_by(pool, engines, samples, SPEC, events.progress)
        return found, pool.told(), events.shares, events.warnings


def test_workers_give_the_bits_of_the_engines_own_processes(
    tmp_path: Path, samples: SampleSet
) -> None:
    """Also where the last batch of each chunk is not full."""
    children: Any = [
        Here(engine_file(tiny_onnx(tmp_path / "one.onnx"), "one"), samples),
        Here(engine_file(tiny_onnx(tmp_path / "four.onnx", batch=4), "four"), samples),
    ]
    here = evaluate(children, samples, SPEC, quiet)
    with ThreadPoolExecutor(2) as threads:
        found, told, shares, _ = evaluated_by(threads, children, samples, tmp_path / "kept")
    assert same(found, here)
    assert told.startswith("6 tasks by 1 worker;") and "images/s" in told
    assert shares == [5 / 13, 10 / 13, 1]


def test_a_second_run_reuses_what_is_done(tmp_path: Path, samples: SampleSet) -> None:
    children: Any = [Here(engine_file(tiny_onnx(tmp_path / "one.onnx"), "one"), samples)]
    store = tmp_path / "store"
    with ThreadPoolExecutor(1) as threads:
        for told in ("3 tasks by 1 worker", "3 tasks known from before"):
            with pool_of(threads, tmp_path / "kept", store) as (pool, events):
                engines = [opened_by(child) for child in children]
                evaluate_by(pool, engines, samples, SPEC, events.progress)
                assert told in pool.told()


def openvino_engines(folder: Path) -> list[EngineFile]:
    """Two engines of OpenVINO, the second of batch 4."""
    target = load_target("cpu")
    made = []
    for batch in (1, 4):
        source = tiny_onnx(folder / f"b{batch}.onnx", batch=batch)
        built = OPENVINO.build(source, target, folder / f"b{batch}.xml")
        made.append(engine_file(built.engine, f"b{batch}", runtime="openvino"))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("make", [openvino_engines, None], ids=["openvino", "onnxruntime"])
def test_any_number_of_processes_gives_the_same_bits(
    tmp_path: Path, samples: SampleSet, make: Callable[[Path], list[EngineFile]] | None
) -> None:
    if make is None:
        files = [tiny_onnx(tmp_path / f"b{batch}.onnx", batch=batch) for batch in (1, 4)]
        engines = [engine_file(file, file.stem) for file in files]
    else:
        engines = make(tmp_path)
    settings = MeasureSettings(seconds=0.02, by_layer=False)

    def outputs(pool: Any = None) -> list[Outputs]:
        measured = measure(
            engines,
            samples,
            SPEC,
            MeasureSettings(seconds=settings.seconds, by_layer=False, pool=pool),
        )
        assert measured.complete
        assert all(engine.throughput_per_second for engine in measured.engines)
        return [engine.outputs for engine in measured.engines if engine.outputs is not None]

    here = outputs()
    for count in (1, 2, 4):
        with pool_of(count, tmp_path / f"kept{count}") as (pool, _):
            assert same(outputs(pool), here)


@pytest.mark.slow
def test_a_killed_worker_costs_its_task(
    tmp_path: Path, samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_scnet.profiler.outputs._CHUNK_BYTES", 6 * 6 * 4)
    children: Any = [Here(engine, samples) for engine in openvino_engines(tmp_path)]
    here = evaluate(children, samples, SPEC, quiet)
    killed: list[int] = []
    processes = Processes(2)
    with processes, pool_of(processes, tmp_path / "kept") as (pool, events):

        def progress(what: str, share: float, count: int = 0, unit: str = "") -> None:
            if not killed:
                killed.append(processes.process_ids[0])
                os.kill(killed[0], signal.SIGKILL)

        engines = [opened_by(child) for child in children]
        found = evaluate_by(pool, engines, samples, SPEC, progress)
        assert "1 worker lost" in pool.told()
    assert same(found, here) and killed
    (warning,) = events.warnings
    assert "signal SIGKILL" in warning and "is done again" in warning
    assert np.isfinite(found[1].noise_power).all()


@pytest.mark.slow
def test_what_is_finished_before_an_interrupt_is_known_to_the_next_run(
    tmp_path: Path, samples: SampleSet
) -> None:
    """The report is partial then, and nothing is an error."""
    engines = [engine_file(tiny_onnx(tmp_path / "one.onnx"), "one")]
    kept = tmp_path / "kept"

    def measured_by(pool: Pool, progress: Progress) -> Measured:
        settings = MeasureSettings(seconds=0.02, by_layer=False, keep_partial=True, pool=pool)
        return measure(engines, samples, SPEC, settings, progress=progress)

    def interrupted(what: str, share: float, count: int = 0, unit: str = "") -> None:
        if what == "accuracy":
            raise KeyboardInterrupt

    with pool_of(1, kept) as (pool, _):
        partial = measured_by(pool, interrupted)
    assert not partial.complete and partial.engines[0].outputs is None and kept.exists()
    with pool_of(1, kept) as (pool, events):
        whole = measured_by(pool, events.progress)
        assert "1 task known from before" in pool.told()
    assert whole.complete and whole.engines[0].outputs is not None and not kept.exists()
