"""What the measuring child does with its engine."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.ragged import is_ragged
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import BackendError
from edge_scnet.profiler import child
from edge_scnet.runtimes import in_memory
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.runtimes.in_memory import Engine, InMemory
from tests.helpers.engines import SPEC
from tests.helpers.graphs import tiny_logits, tiny_onnx


class Seen:
    """An engine's function that keeps what it was given, and whether garbage was collected then."""

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []
        self.collecting: list[bool] = []

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self.given.append(batch)
        self.collecting.append(gc.isenabled())
        return [batch]


@pytest.fixture
def runtime() -> Iterator[InMemory]:
    with in_memory.registered() as registered:
        yield registered


def serve(
    runtime: InMemory, *, batch: int = 1, count: int = 16, **facts: Any
) -> tuple[child.Server, Seen]:
    """A server with an engine in memory loaded."""
    seen = Seen()
    runtime.engines["engine"] = Engine(compute=seen, input_shape=(batch, 1, 6, 6), **facts)
    server = child.Server()
    server.load("in_memory", Path("engine"), OpenOptions(), timed_images(count))
    return server, seen


def timed_images(count: int) -> np.ndarray:
    return np.arange(count * 36, dtype=np.float32).reshape(count, 1, 6, 6)


def test_memory_is_read_between_preload_and_the_engine_and_before_the_timed_batches(
    runtime: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logged(name: str, value: Any) -> Any:
        runtime.log.append(name)
        return value

    cycled = child.cycled
    monkeypatch.setattr(child, "resident_bytes", lambda: logged("resident", 1))
    monkeypatch.setattr(child, "peak_resident_bytes", lambda: logged("peak", 2))
    monkeypatch.setattr(
        child,
        "cycled",
        lambda images, count: logged(f"cycled {count}", cycled(images, count)),
    )
    server, _ = serve(runtime)
    assert runtime.log == [
        "preload",
        "resident",
        "open engine latency",
        "cycled 1",
        "peak",
        "cycled 16",
    ]
    server.close()


def test_a_plans_memory_and_layer_times_are_told_where_the_session_knows_them(
    runtime: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = iter([1000, 5000, 2000, 9000])
    monkeypatch.setattr(child, "used_memory_bytes", lambda: next(used))
    server, _ = serve(runtime, device_bytes=77, layer_times_ms={"conv1": 16.0})
    again = server.load("in_memory", Path("engine"), OpenOptions(), timed_images(16))
    assert (again.device_activation_bytes, again.ram_delta_bytes) == (77, 7000)
    assert server.layer_times() == {"conv1": 16.0}
    monkeypatch.setattr(child, "used_memory_bytes", lambda: None)
    unknown = server.load("in_memory", Path("engine"), OpenOptions(), timed_images(1))
    assert (unknown.device_activation_bytes, unknown.ram_delta_bytes) == (77, None)
    server.close()


def test_on_the_cpu_all_memory_is_the_process_own(runtime: InMemory) -> None:
    server, _ = serve(runtime)
    loaded = server.load("in_memory", Path("engine"), OpenOptions(), timed_images(1))
    assert (loaded.device_activation_bytes, loaded.ram_delta_bytes) == (None, None)
    assert server.layer_times() == {}
    server.close()


@pytest.mark.parametrize("batch", [1, 3, 16, 40])
def test_timed_batches_are_views_of_one_array(runtime: InMemory, batch: int) -> None:
    server, seen = serve(runtime, batch=batch)
    seen.given.clear()
    server.block(0.0, 16)
    last, *views = seen.given
    assert len({id(view.base) for view in views}) == 1 and last.base is views[0].base
    assert all(view.flags.c_contiguous and view.dtype == np.float32 for view in views)
    for i, view in enumerate(views[:16]):
        assert (view[:, 0, 0, 0] / 36).tolist() == [k % 16 for k in range(i, i + batch)]
    server.close()


def test_a_block_begins_untimed_and_without_garbage_collection(runtime: InMemory) -> None:
    server, seen = serve(runtime)
    seen.given.clear()
    seen.collecting.clear()
    assert gc.isenabled()
    times = server.block(0.0, 20)
    assert len(times) == 20 and len(seen.given) == 21
    assert seen.collecting == [True] + [False] * 20 and gc.isenabled()
    server.close()


def test_garbage_is_collected_again_after_an_inference_that_fails(runtime: InMemory) -> None:
    error = BackendError("out of memory")
    # one inference when it is loaded, one untimed
    server, _ = serve(runtime, infer_error=error, inferences_before_error=2)
    with pytest.raises(BackendError, match="out of memory"):
        server.block(0.0, 1)
    assert gc.isenabled()
    server.close()


def test_throughput_opens_once_and_frees_the_latency_session_first(runtime: InMemory) -> None:
    server, seen = serve(runtime, batch=3)
    alive: list[bool] = []
    opened = Engine(
        compute=lambda batch: alive.append(runtime.sessions[0]() is not None) or seen(batch),
        input_shape=(3, 1, 6, 6),
    )
    runtime.log.clear()
    runtime.engines["engine"] = opened
    assert 0 < server.open_throughput(0.0) < 1
    rates = [server.throughput(0.01) for _ in range(3)]
    assert min(rates) > 0 and not any(alive), "the latency session is still there"
    assert runtime.log == ["close engine", "open engine throughput"]
    assert seen.collecting[0] and not seen.collecting[-1] and gc.isenabled()
    server.close()


def test_warm_up_ends_when_two_blocks_agree_and_says_when_none_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = child.Server()
    medians = iter([100, 50, 49])
    monkeypatch.setattr(server, "block", lambda seconds, runs: [next(medians)] * 5)
    warm = server.warm_up()
    assert warm.stable and warm.runs == 18
    restless = iter(range(1, 100))
    now = iter(np.arange(0, 100, 0.5).tolist())
    monkeypatch.setattr(child.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(server, "block", lambda seconds, runs: [2 ** next(restless)] * 5)
    restless_end = server.warm_up()
    assert not restless_end.stable and restless_end.seconds >= child.WARM_UP_LIMIT_S


def test_end_to_end_times_every_stage_and_leaves_out_the_first(
    runtime: InMemory, monkeypatch: pytest.MonkeyPatch, samples: SampleSet
) -> None:
    server, _ = serve(runtime, batch=2)
    clock = iter(range(0, 10**9, 1_000_000))
    monkeypatch.setattr(child.time, "perf_counter_ns", lambda: next(clock))
    # each reading of the clock is a millisecond later: four stages of 1 ms
    assert server.end_to_end(samples, SPEC, 0.0) == [(1_000_000,) * 4] * 2
    server.close()


@pytest.mark.parametrize("count", [1, 7, 8, 13, 16])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_batch_that_does_not_divide_the_images(tmp_path: Path, name: str, count: int) -> None:
    images = np.random.default_rng(count).standard_normal((count, 1, 6, 6)).astype(np.float32)
    server = child.Server()
    server.load(name, tiny_onnx(tmp_path / "eight.onnx", batch=8), OpenOptions(threads=1), images)
    logits, twice = server.evaluate(images)
    server.close()
    assert logits.shape == (count, 4)
    np.testing.assert_allclose(logits, tiny_logits(images), atol=1e-5)
    np.testing.assert_allclose(twice, 2 * tiny_logits(images), atol=1e-5)


def test_a_batch_without_output_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.zeros((4, 1, 6, 6), np.float32)
    server = child.Server()
    server.load("onnxruntime", tiny_onnx(tmp_path / "one.onnx"), OpenOptions(threads=1), images)
    infer_many = server._session.infer_many
    monkeypatch.setattr(
        server._session, "infer_many", lambda batches, keep: infer_many(list(batches)[1:], keep)
    )
    with pytest.raises(BackendError, match=r"1 of 4 batches gave no output"):
        server.evaluate(images)
    server.close()


@pytest.mark.parametrize(("first", "then"), [(0, 1), (1, 5), (1, 1)])
@pytest.mark.parametrize("told", [True, False])
def test_an_output_whose_size_depends_on_the_data_is_an_array_for_each_image(
    first: int, then: int, told: bool
) -> None:
    """One row of the first image is no batch axis, and sizes that are alike are no rule."""
    if first == then and not told:
        pytest.skip("nothing tells it from an output of one size")

    def compute(images: np.ndarray) -> list[np.ndarray]:
        return [np.argwhere(images[0] > 0)]

    images = np.zeros((2, 1, 6, 6), np.float32)
    images[0, 0, 0, :first] = images[1, 0, 0, :then] = 1.0
    engine = Engine(
        compute=compute, input_shape=(1, 1, 6, 6), counted_outputs=("output",) if told else ()
    )
    with in_memory.registered({"engine.mem": engine}):
        server = child.Server()
        server.load("in_memory", Path("engine.mem"), OpenOptions(), images)
        (output,) = server.evaluate(images)
        server.close()
    assert is_ragged(output) and [part.shape for part in output] == [(first, 3), (then, 3)]


def test_of_several_images_at_once_no_one_can_tell_whose_part_of_it_is_whose() -> None:
    images = np.zeros((4, 1), np.float32)
    engine = Engine(
        compute=lambda x: [np.argwhere(x > 0)], input_shape=(2, 1), counted_outputs=("output",)
    )
    with in_memory.registered({"engine.mem": engine}):
        server = child.Server()
        server.load("in_memory", Path("engine.mem"), OpenOptions(), images)
        with pytest.raises(BackendError, match="of 2 images at once nobody can tell"):
            server.evaluate(images)
        server.close()


def test_an_output_without_a_batch_axis_counts_as_one_image_s() -> None:
    images = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)
    engine = Engine(compute=lambda x: [np.full((5, 2), x.item())], input_shape=(1, 1, 1, 1))
    with in_memory.registered({"engine.mem": engine}):
        server = child.Server()
        server.load("in_memory", Path("engine.mem"), OpenOptions(), images)
        (output,) = server.evaluate(images)
        server.close()
    assert output.shape == (3, 5, 2)
    np.testing.assert_array_equal(output[:, 0, 0], [0, 1, 2])


def test_a_plan_infers_with_its_graph_where_that_is_chosen_in_throughput_too(
    runtime: InMemory,
) -> None:
    server, _ = serve(runtime, seconds=0.003, graph_seconds=0.0001)
    assert server.record_graph() is None
    (plain, _), (graph, _) = (server.timed_block(0.0, 5, way) for way in (False, True))
    assert min(plain) >= 3_000_000 > min(graph)
    server.use_graph(on=False)
    assert min(server.block(0.0, 2)) >= 3_000_000
    server.use_graph(on=True)
    assert server.open_throughput(0.002) < 0.003
    server.close()
    server, _ = serve(runtime, graph_fault="not permitted")
    assert server.record_graph() == "not permitted"
    server.close()


def test_the_accuracy_of_onnx_runtime_depends_on_no_number_of_cores(tmp_path: Path) -> None:
    """Each inference has one thread, whatever the engine is timed with."""
    path = tiny_onnx(tmp_path / "net.onnx")
    images = np.random.default_rng(0).standard_normal((13, 1, 6, 6)).astype(np.float32)
    server = child.Server()
    server.load("onnxruntime", path, OpenOptions(threads=2), images)
    assert server.settings()["threads"] == "2"
    server.open_evaluation()
    assert server.settings()["threads"] == "1"
    logits, twice = server.evaluate(images)
    np.testing.assert_allclose(logits, tiny_logits(images), atol=1e-5)
    np.testing.assert_array_equal(twice, 2 * logits)
    server.close()
