"""Engines that workers run: the outputs of a session here, and machines that may not run them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_scnet.errors import BackendError, TargetError
from edge_scnet.machine import environment
from edge_scnet.runtimes import runtime_named, shared
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.runtimes.in_memory import Engine, registered
from edge_scnet.runtimes.shared import (
    check_shareable,
    check_workers,
    files_of,
    runs_of,
    shards_in,
    share,
    tasks_over,
)
from edge_scnet.scale import task as tasks
from tests.helpers.graphs import tiny_onnx
from tests.helpers.scale import pool_of

ORT = runtime_named("onnxruntime")
IMAGES = np.random.default_rng(0).standard_normal((66, 1, 6, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of a test are threads of this process, which keeps what they open."""
    monkeypatch.setattr(tasks, "_kept", tasks._Kept())


def run_by(executor: ThreadPoolExecutor, path: Path, kept: Path, *, runtime: Any = ORT) -> Any:
    """The outputs of each image by workers, the engine's batch being 1."""
    with pool_of(executor, kept) as (pool, _):
        engine = share(pool, runtime, path, OpenOptions(), batch=1)
        found = pool.run(tasks_over(engine, shards_in(pool, IMAGES, 1)))
    return [run for arrays in found for run in runs_of(arrays)]


def test_workers_give_what_a_session_gives(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "net.onnx")
    with ThreadPoolExecutor(2) as threads:
        runs = run_by(threads, path, tmp_path / "kept")
    with ORT.open(path, OpenOptions(threads=1)) as session:
        wanted = [[np.array(o) for o in session.infer(image[None])] for image in IMAGES]
    assert len(runs) == 66
    for own, other in zip(runs, wanted, strict=True):
        assert [array.tobytes() for array in own] == [array.tobytes() for array in other]


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_an_engine_by_a_relative_path_through_a_link_goes_to_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    path = tiny_onnx(tmp_path / "real" / "net.onnx")
    names = ["net.onnx"]
    if suffix == ".xml":
        path.rename(path.with_suffix(".xml")).with_suffix(".bin").write_bytes(b"weights")
        names = ["net.xml", "net.bin"]
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(1) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        engine = share(pool, ORT, Path("link", names[0]), OpenOptions(), batch=1)
    assert engine.settings["files"] == names


def test_an_engine_lies_in_its_files_and_names(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "net.onnx")
    apart = tmp_path / "apart" / "net.onnx"
    (apart.parent / "data").mkdir(parents=True)
    model = onnx.load(path)
    onnx.save(
        model, apart, save_as_external_data=True, location="data/weights.bin", size_threshold=0
    )
    assert [file.name for file in files_of(apart)] == ["net.onnx", "weights.bin"]
    with ThreadPoolExecutor(1) as threads:
        found = run_by(threads, apart, tmp_path / "kept")
        whole = run_by(threads, path, tmp_path / "kept")
    assert all(
        np.array_equal(a, b)
        for own, other in zip(found, whole, strict=True)
        for a, b in zip(own, other, strict=True)
    )


def test_outputs_of_any_size_come_back_by_batch(tmp_path: Path) -> None:
    """As boxes behind NonMaxSuppression, of which each image has another number."""

    def compute(images: np.ndarray) -> list[np.ndarray]:
        count = int(abs(images[0, 0, 0, 0]) * 10)
        return [np.arange(count), images.sum(axis=(1, 2, 3))]

    path = tmp_path / "net.mem"
    path.touch()
    engine = Engine(
        compute=compute,
        input_shape=(1, 1, 6, 6),
        output_names=("boxes", "sum"),
        counted_outputs=("boxes",),
    )
    with registered({"net.mem": engine}) as runtime, ThreadPoolExecutor(1) as threads:
        runs = run_by(threads, path, tmp_path / "kept", runtime=runtime)
    assert [len(run[0]) for run in runs] == [int(abs(image[0, 0, 0]) * 10) for image in IMAGES]
    assert [float(run[1][0]) for run in runs] == [float(image.sum()) for image in IMAGES]


def test_an_inference_that_fails_names_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "net.mem"
    path.touch()
    fails = Engine(
        compute=lambda images: [images], input_shape=(1, 1, 6, 6), infer_error=RuntimeError("no")
    )
    with (
        registered({"net.mem": fails}) as runtime,
        ThreadPoolExecutor(1) as threads,
        pytest.raises(BackendError, match=r"net\.mem: RuntimeError: no"),
    ):
        run_by(threads, path, tmp_path / "kept", runtime=runtime)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cpu_model": "another"}, "the processor: .* there, another here"),
        ({"onednn_max_cpu_isa": "AVX2"}, "ONEDNN_MAX_CPU_ISA: not set there, AVX2 here"),
        ({"features": ("avx2",)}, "instruction sets: .* there, .* avx2 here"),
    ],
)
def test_a_worker_that_is_another_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    there = shared.machine_for(ORT)
    own = environment.collect()
    path = tiny_onnx(tmp_path / "net.onnx")
    with ThreadPoolExecutor(1) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        monkeypatch.setattr(environment, "collect", lambda: replace(own, **change))
        wanted = shared.machine_for(ORT)
        monkeypatch.setattr(shared, "machine_for", lambda runtime: wanted)
        engine = share(pool, ORT, path, OpenOptions(), batch=1)
        jobs = tasks_over(engine, shards_in(pool, IMAGES, 1))
        monkeypatch.setattr(shared, "machine_for", lambda runtime: there)
        with pytest.raises(BackendError, match=words) as caught:
            pool.run(jobs)
        assert "machines like the one" in str(caught.value.hint)


def test_workers_are_asked_before_anything_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        check_workers(pool, ["onnxruntime", "onnxruntime"])
        assert "1 task by 1 worker" in pool.told()
        answers = iter([{"onnxruntime": "1.0"}, {"onnxruntime": "2.0"}])
        monkeypatch.setattr(shared, "machine_for", lambda runtime: next(answers))
        with pytest.raises(BackendError, match=r"onnxruntime: 2\.0 there, 1\.0 here"):
            check_workers(pool, ["onnxruntime"])


def test_a_plan_is_of_the_gpu_that_it_was_built_on(tmp_path: Path) -> None:
    plan = tmp_path / "engine.plan"
    with pytest.raises(TargetError, match=r"engine\.plan is a plan of TensorRT") as caught:
        check_shareable({tmp_path / "net.onnx": "onnxruntime", plan: "tensorrt"})
    assert str(caught.value.hint).endswith(f"edge-scnet profile {plan}")
