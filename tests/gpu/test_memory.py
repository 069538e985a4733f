"""Memory, streams, copies and CUDA graphs on an NVIDIA GPU, by each way to CUDA; no TensorRT."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from edge_scnet.errors import BackendError
from edge_scnet.runtimes.tensorrt import cuda
from edge_scnet.runtimes.tensorrt.streams import Stream
from tests.helpers.cuda import WAYS

pytestmark = pytest.mark.gpu
FLOAT = np.dtype(np.float32)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A way to CUDA that works here."""
    monkeypatch.setenv(cuda.VARIABLE, request.param)
    if reason := cuda.unavailable():
        pytest.skip(reason)
    return str(request.param)


def _there_and_back(stream: Stream, values: np.ndarray) -> np.ndarray:
    """What comes back of an array that was copied to the device."""
    there, back = (stream.pinned(values.shape, values.dtype) for _ in range(2))
    address = stream.allocate(values.nbytes)
    np.copyto(there, values)
    back.view(np.uint8)[...] = 255
    stream.upload(address, there)
    stream.download(back, address)
    stream.wait()
    return back.copy()


def test_the_state_names_the_way_and_its_releases(way: str) -> None:
    state = cuda.state()
    assert state.title is not None and state.runtime and state.driver and state.hint is None
    assert way in ("libcudart", state.title)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.int64, np.bool_])
def test_arrays_come_back_as_they_went(way: str, dtype: Any) -> None:
    stream = cuda.open_stream()
    rng = np.random.default_rng(0)
    for shape in ((1,), (3, 5), (1, 3, 224, 224), (1 << 20,)):
        values = rng.integers(0, 100, shape).astype(dtype)
        np.testing.assert_array_equal(_there_and_back(stream, values), values)
    stream.close()


def test_device_memory_is_aligned_as_tensorrt_asks(way: str) -> None:
    stream = cuda.open_stream()
    addresses = [stream.allocate(size) for size in (0, 1, 3, 257, 4096)]
    assert len(set(addresses)) == 5 and all(address % 256 == 0 for address in addresses)
    stream.close()


def test_part_of_an_array_is_copied(way: str) -> None:
    stream = cuda.open_stream()
    there, back = stream.pinned((8,), FLOAT), stream.pinned((8,), FLOAT)
    address = stream.allocate(32)
    there[:], back[:] = np.arange(8), -1
    stream.upload(address, there)
    stream.download(back[:3], address)
    stream.wait()
    assert back.tolist() == [0, 1, 2, -1, -1, -1, -1, -1]
    stream.close()


def test_closing_frees_the_device(way: str) -> None:
    """All blocks together are larger than any GPU's memory."""
    for _ in range(400):
        stream = cuda.open_stream()
        stream.allocate(1 << 29)
        stream.close()
        stream.close()


def test_arrays_outlive_their_stream(way: str) -> None:
    stream = cuda.open_stream()
    array = stream.pinned((1 << 20,), FLOAT)
    array[:] = 3
    stream.close()
    view = array[5:10]
    del array
    gc.collect()
    assert view.tolist() == [3] * 5


def test_too_much_memory_is_an_error_and_the_stream_goes_on(way: str) -> None:
    stream = cuda.open_stream()
    with pytest.raises(BackendError, match="out of memory"):
        stream.allocate(1 << 50)
    values = np.arange(100, dtype=np.float32)
    np.testing.assert_array_equal(_there_and_back(stream, values), values)
    stream.close()


def test_two_streams_do_not_mix(way: str) -> None:
    streams = [cuda.open_stream() for _ in range(2)]
    arrays = [np.full(1 << 16, number, np.int64) for number in range(2)]
    for stream, array in zip(streams, arrays, strict=True):
        np.testing.assert_array_equal(_there_and_back(stream, array), array)
    assert streams[0].handle != streams[1].handle
    for stream in streams:
        stream.close()


def test_a_graph_replays_with_what_is_there_then(way: str) -> None:
    if way == "pycuda":
        pytest.skip("pycuda records no CUDA graphs")
    stream = cuda.open_stream()
    there, back = stream.pinned((1 << 16,), FLOAT), stream.pinned((1 << 16,), FLOAT)
    address = stream.allocate(there.nbytes)

    def work() -> None:
        stream.upload(address, there)
        stream.download(back, address)

    back[:] = -1
    launch = stream.record(work)
    stream.wait()
    assert (back == -1).all(), "recording runs nothing"
    for number in range(20):
        there[:] = number
        launch()
        stream.wait()
        assert (back == number).all()
    stream.close()


def test_the_capture_is_of_its_thread_alone(way: str) -> None:
    """Another thread allocates meanwhile, which would break a global capture."""
    if way == "pycuda":
        pytest.skip("pycuda records no CUDA graphs")
    stream, other = cuda.open_stream(), cuda.open_stream()
    there, address = stream.pinned((16,), FLOAT), stream.allocate(64)

    def work() -> None:
        thread = threading.Thread(target=other.allocate, args=(64,))
        thread.start()
        thread.join()
        stream.upload(address, there)

    stream.record(work)()
    stream.wait()
    for opened in (stream, other):
        opened.close()


def test_what_breaks_a_capture_is_told_and_the_stream_goes_on(way: str) -> None:
    if way == "pycuda":
        pytest.skip("pycuda records no CUDA graphs")
    stream = cuda.open_stream()

    def work() -> None:
        stream.allocate(64)  # not allowed while a stream of this thread is captured

    with pytest.raises(BackendError, match="cudaMalloc"):
        stream.record(work)
    values = np.arange(100, dtype=np.float32)
    np.testing.assert_array_equal(_there_and_back(stream, values), values)
    stream.close()
