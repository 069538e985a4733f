"""The ways to CUDA: one contract for all three, on a libcudart of a few lines of C."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge_scnet.errors import BackendError
from edge_scnet.runtimes.tensorrt import cuda
from edge_scnet.runtimes.tensorrt.cudart import Bindings, LibCudart, libraries
from tests.helpers.cuda import WAYS, FakeCudart

FLOAT = np.dtype(np.float32)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> FakeCudart:
    return FakeCudart(tmp_path_factory.mktemp("cudart"))


@pytest.fixture(params=WAYS)
def fake(
    request: pytest.FixtureRequest, library: FakeCudart, monkeypatch: pytest.MonkeyPatch
) -> FakeCudart:
    library.reset()
    library.install(monkeypatch, request.param)
    return library


def test_each_way_copies_frees_and_frees_once(fake: FakeCudart) -> None:
    assert cuda.unavailable() is None
    stream = cuda.open_stream()
    there, back = stream.pinned((2, 3), FLOAT), stream.pinned((2, 3), FLOAT)
    address = stream.allocate(there.nbytes)
    assert address % 256 == 0 and there.flags.aligned and there.flags.writeable
    there[:] = np.arange(6).reshape(2, 3)
    back[:] = 0
    stream.upload(address, there)
    stream.download(back, address)
    stream.wait()
    assert back.tolist() == there.tolist()
    # part of an output, as its size depends on the data
    back[:] = -1
    stream.download(back.reshape(-1)[:2], address)
    stream.wait()
    assert back.reshape(-1).tolist() == [0, 1, -1, -1, -1, -1]
    stream.close()
    stream.close()
    # the arrays are still good: page-locked memory lives as long as they
    view = back[0]
    del there, back
    gc.collect()
    assert view.tolist() == [0, 1, -1]
    del view
    gc.collect()
    assert fake.live == 0
    assert fake.notes == [
        "create s1",
        "malloc host 24 h1",
        "malloc host 24 h2",
        "malloc 24 d1",
        "up 24 h1 d1 s1",
        "down 24 h2 d1 s1",
        "wait s1",
        "down 8 h2 d1 s1",
        "wait s1",
        "wait s1",
        "free d1",
        "destroy s1",
        "free host h1",
        "free host h2",
    ]


def test_tensors_without_elements_get_memory_too(fake: FakeCudart) -> None:
    stream = cuda.open_stream()
    assert stream.allocate(0) > 0
    empty = stream.pinned((0, 4), FLOAT)
    assert empty.shape == (0, 4) and empty.dtype == FLOAT
    stream.close()
    del empty
    gc.collect()
    assert fake.live == 0


def test_an_error_of_cuda_names_the_call_and_leaks_nothing(fake: FakeCudart) -> None:
    fake.reset(free_bytes=100)
    stream = cuda.open_stream()
    stream.allocate(100)
    with pytest.raises(BackendError, match="out of memory") as caught:
        stream.allocate(101)
    assert "alloc" in caught.value.message.lower()
    stream.close()
    assert fake.live == 0


def test_a_graph_replays_what_was_recorded_with_what_is_there_then(
    library: FakeCudart, monkeypatch: pytest.MonkeyPatch
) -> None:
    for way in ("libcudart", "cuda-bindings"):
        library.reset()
        library.install(monkeypatch, way)
        stream = cuda.open_stream()
        there, back = stream.pinned((2,), FLOAT), stream.pinned((2,), FLOAT)
        address = stream.allocate(8)

        def work(
            stream: Any = stream, there: Any = there, back: Any = back, address: int = address
        ) -> None:
            stream.upload(address, there)
            stream.download(back, address)

        back[:] = 0
        launch = stream.record(work)
        assert back.tolist() == [0, 0], "recording runs nothing"
        there[:] = 7
        launch()
        stream.wait()
        assert back.tolist() == [7, 7]
        there[:] = 8
        launch()
        assert back.tolist() == [8, 8]
        stream.close()
        del there, back, work, launch
        gc.collect()
        assert library.live == 0
        assert [note for note in library.notes if "host" not in note] == [
            "create s1",
            "malloc 8 d1",
            "begin s1",
            "up 8 h1 d1 s1 recorded",
            "down 8 h2 d1 s1 recorded",
            "end s1",
            "instantiate g1 e1",
            "destroy g1",
            "launch e1 s1",
            "wait s1",
            "launch e1 s1",
            "wait s1",
            "destroy e1",
            "free d1",
            "destroy s1",
        ]


def test_what_breaks_a_recording_is_told_and_not_that_it_is_broken(
    library: FakeCudart, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.reset()
    library.install(monkeypatch, "libcudart")
    stream = cuda.open_stream()

    def work() -> None:
        with pytest.raises(BackendError, match="901"):
            stream.allocate(8)  # breaks the capture
        raise BackendError("TensorRT could not enqueue the inference")

    with pytest.raises(BackendError, match="could not enqueue"):
        stream.record(work)
    # the stream is of use again
    assert library.notes[-1] == "end s1"
    stream.wait()
    stream.close()
    assert library.live == 0


def test_pycuda_says_what_records_graphs(
    library: FakeCudart, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.reset()
    library.install(monkeypatch, "pycuda")
    stream = cuda.open_stream()
    with pytest.raises(BackendError, match="records no CUDA graphs") as caught:
        stream.record(lambda: None)
    assert "EDGE_SCNET_CUDA=libcudart" in caught.value.hint
    stream.close()


def test_error_35_is_told_in_words(library: FakeCudart, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a JetPack 6 board, whose driver takes CUDA 12.6, with pip's runtime of CUDA 13."""
    for way, title in (("libcudart", str(library.path)), ("cuda-bindings", "cuda-bindings")):
        library.reset(code=35, driver=12060)
        library.install(monkeypatch, way)
        state = cuda.state()
        assert state.reason == (
            f"this CUDA runtime is for a newer driver: {title} is CUDA 13.0, the driver takes 12.6"
            " at most"
        )
        assert state.hint is not None and "'cuda-bindings<13'" in state.hint
        assert (state.runtime, state.driver) == ("13.0", "12.6")
        library.reset(code=35, driver=0)
        assert cuda.unavailable() == "no GPU: no NVIDIA driver is loaded here"
        with pytest.raises(BackendError, match="no NVIDIA driver") as caught:
            cuda.open_stream()
        assert "--runtime nvidia" in caught.value.hint
        library.reset(code=100, driver=12060)
        assert cuda.unavailable() == "no GPU: no CUDA-capable device is detected"


def test_a_stub_in_the_driver_s_place_has_a_way_out(
    library: FakeCudart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/usr/local/cuda/lib64/stubs on LD_LIBRARY_PATH, as images for building have it."""
    library.reset(code=34)
    library.install(monkeypatch, "libcudart")
    state = cuda.state()
    assert state.reason is not None and "stub" in state.reason
    assert state.hint is not None and "LD_LIBRARY_PATH" in state.hint


def test_a_runtime_that_the_driver_refuses_is_passed_over(
    library: FakeCudart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first library is for a newer driver; pycuda, after it, works."""
    library.reset()
    library.install(monkeypatch, "pycuda")
    monkeypatch.delenv(cuda.VARIABLE)
    monkeypatch.setattr(cuda, "libraries", lambda: iter([str(library.path)]))

    class Refused(LibCudart):
        def attempt(self, name: str, *args: int) -> tuple[int, int]:
            # CUDA 11 does not tell its own release either then
            refused = name in ("cudaGetDeviceCount", "cudaRuntimeGetVersion")
            return (35, 0) if refused else super().attempt(name, *args)

    monkeypatch.setattr(cuda, "LibCudart", Refused)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    assert cuda.state().title == "pycuda" and cuda.unavailable() is None
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    assert "is CUDA older than 12, the driver takes 13.0" in (cuda.unavailable() or "")


def test_what_is_called_cuda_and_is_not_cuda_bindings_is_no_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """cuda-core or an old cuda-python alone, or a folder of that name."""
    monkeypatch.setattr(cuda, "libraries", lambda: iter(["libcudart.so.no"]))
    for name in [*sys.modules]:
        if name == "cuda" or name.startswith(("cuda.", "pycuda")):
            monkeypatch.delitem(sys.modules, name)
    stranger = ModuleType("cuda")
    stranger.__path__ = []
    monkeypatch.setitem(sys.modules, "cuda", stranger)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    state = cuda.state()
    assert state.title is None and state.reason is not None and state.hint is not None
    assert "no libcudart, cuda-bindings or pycuda" in state.reason
    for way in ("cuda-bindings", "pycuda", "/none/libcudart.so.12"):
        monkeypatch.setenv(cuda.VARIABLE, way)
        assert f"{way} cannot be loaded: " in (cuda.unavailable() or "")
    monkeypatch.setenv(cuda.VARIABLE, "bindings")
    assert "is 'bindings'; allowed: libcudart" in (cuda.unavailable() or "")


def test_a_library_without_the_functions_is_refused(library: FakeCudart) -> None:
    with pytest.raises(OSError, match=r"is no CUDA runtime of 11\.4 or newer"):
        LibCudart(_libc())


def _libc() -> str:
    return "libc.so.6" if sys.platform == "linux" else "libSystem.dylib"


def test_the_librarys_places_begin_with_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib64").mkdir()
    for name in ("libcudart.so.12", "libcudart.so.12.6.68", "libcudart_static.a"):
        (tmp_path / "lib64" / name).touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    places = list(libraries())
    assert places[0] == str(tmp_path / "lib64" / "libcudart.so.12")
    assert places.index("libcudart.so.12") < places.index("libcudart.so")


def test_cuda_bindings_takes_every_call_as_it_is_made_here() -> None:
    """Without a GPU each answers with an error; a wrong signature would raise TypeError."""
    pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    runtime = Bindings()
    code, count = runtime.attempt("cudaGetDeviceCount")
    if not code and count:
        pytest.skip("a GPU is here: tests/gpu makes the calls in earnest")
    for name, args in (
        ("cudaRuntimeGetVersion", ()),
        ("cudaDriverGetVersion", ()),
        ("cudaStreamCreate", ()),
        ("cudaMalloc", (8,)),
        ("cudaMallocHost", (8,)),
        ("cudaMemcpyAsync", (256, 512, 8, 1, 0)),
        ("cudaStreamBeginCapture", (0, 1)),
        ("cudaStreamEndCapture", (0,)),
        ("cudaGraphInstantiateWithFlags", (0, 0)),
        ("cudaGraphLaunch", (0, 0)),
        ("cudaGraphExecDestroy", (0,)),
        ("cudaGraphDestroy", (0,)),
        ("cudaStreamSynchronize", (0,)),
        ("cudaStreamDestroy", (0,)),
        ("cudaFree", (0,)),
        ("cudaFreeHost", (0,)),
    ):
        code, _ = runtime.attempt(name, *args)
        assert bool(code) is not name.endswith("GetVersion"), name
        assert runtime.words(code)


def test_pycuda_itself_says_cleanly_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycuda", reason="pycuda is not installed (it has no wheels)")
    monkeypatch.setenv(cuda.VARIABLE, "pycuda")
    state = cuda.state()
    if state.reason is None:
        pytest.skip("a GPU is here: tests/gpu uses it")
    assert state.reason.startswith(("no GPU: ", "pycuda cannot be loaded: libcuda.so.1"))
    with pytest.raises(BackendError, match="no stream on a GPU"):
        cuda.open_stream()
