"""Device memory, copies and streams, by cuda-bindings, or by pycuda where only that is installed.

cuda-bindings is the tested way: it installs anywhere and says cleanly that there is no driver.
pycuda takes part in the primary context (`autoprimaryctx`), which TensorRT uses; `autoinit` would
make one of its own.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from edge_scnet.core.optional import installed
from edge_scnet.errors import BackendError


class Stream(Protocol):
    """A queue on the GPU, and the memory that it works on."""

    handle: int

    def allocate(self, size_bytes: int) -> int:
        """Allocates device memory and returns its address."""

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Allocates page-locked host memory, which the GPU copies to and from without a detour."""

    def upload(self, address: int, array: np.ndarray) -> None:
        """Enqueues a copy to the device."""

    def download(self, array: np.ndarray, address: int) -> None:
        """Enqueues a copy from the device."""

    def wait(self) -> None:
        """Waits until everything that is enqueued is done."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Records what `work` enqueues as a CUDA graph.

        Returns:
            A function that enqueues all of it at once, with the same addresses.

        Raises:
            BackendError: it cannot be recorded.
        """

    def close(self) -> None:
        """Frees the stream and its memory."""


def unavailable() -> str | None:
    """Returns why no GPU can be used here, or None."""
    if installed("cuda"):
        runtime = importlib.import_module("cuda.bindings.runtime")
        try:
            error, count = runtime.cudaGetDeviceCount()
        except RuntimeError as problem:  # the CUDA runtime's library itself is not there
            return f"CUDA cannot be loaded: {problem}"
        if int(error):
            return f"no GPU: {runtime.cudaGetErrorString(error)[1].decode()}"
        return None if count else "no GPU: CUDA sees no device"
    if installed("pycuda"):
        driver = importlib.import_module("pycuda.driver")
        try:
            driver.init()
        except driver.Error as problem:
            return f"no GPU: {problem}"
        return None if driver.Device.count() else "no GPU: CUDA sees no device"
    return "neither 'cuda-bindings' nor 'pycuda' is installed"


def open_stream() -> Stream:
    """Opens a stream by whichever package is there; `unavailable` has said that one is."""
    return _Bindings() if installed("cuda") else _PyCuda()


class _Bindings:
    """`Stream` by cuda-bindings."""

    def __init__(self) -> None:
        self._runtime = importlib.import_module("cuda.bindings.runtime")
        self.handle = int(self._call("cudaStreamCreate"))
        self._device: list[int] = []
        self._host: list[int] = []
        self._graphs: list[Any] = []

    def _call(self, name: str, *args: Any) -> Any:
        error, *values = getattr(self._runtime, name)(*args)
        if int(error):
            raise BackendError(
                f"CUDA: {name}: {self._runtime.cudaGetErrorString(error)[1].decode()}"
            )
        return values[0] if values else None

    def allocate(self, size_bytes: int) -> int:
        self._device.append(int(self._call("cudaMalloc", size_bytes)))
        return self._device[-1]

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        size = int(np.prod(shape)) * dtype.itemsize
        self._host.append(int(self._call("cudaMallocHost", size)))
        buffer = (ctypes.c_byte * size).from_address(self._host[-1])
        array: np.ndarray = np.ctypeslib.as_array(buffer).view(dtype).reshape(shape)
        return array

    def upload(self, address: int, array: np.ndarray) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, self.handle)

    def download(self, array: np.ndarray, address: int) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, self.handle)

    def wait(self) -> None:
        self._call("cudaStreamSynchronize", self.handle)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        # of this thread alone: other threads' allocations do not end the capture
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self.handle, mode)
        try:
            work()
        finally:
            graph = self._call("cudaStreamEndCapture", self.handle)
        executable = self._call("cudaGraphInstantiate", graph, 0)
        self._graphs.append(executable)
        self._call("cudaGraphDestroy", graph)
        return lambda: self._call("cudaGraphLaunch", executable, self.handle)

    def close(self) -> None:
        for executable in self._graphs:
            self._call("cudaGraphExecDestroy", executable)
        for address in self._device:
            self._call("cudaFree", address)
        for address in self._host:
            self._call("cudaFreeHost", address)
        self._call("cudaStreamDestroy", self.handle)
        self._device, self._host, self._graphs = [], [], []


class _PyCuda:
    """`Stream` by pycuda."""

    def __init__(self) -> None:
        importlib.import_module("pycuda.autoprimaryctx")
        self._driver = importlib.import_module("pycuda.driver")
        self._stream = self._driver.Stream()
        self.handle = int(self._stream.handle)
        self._device: list[Any] = []

    def allocate(self, size_bytes: int) -> int:
        self._device.append(self._driver.mem_alloc(size_bytes))
        return int(self._device[-1])

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        array: np.ndarray = self._driver.pagelocked_empty(shape, dtype)
        return array

    def upload(self, address: int, array: np.ndarray) -> None:
        self._driver.memcpy_htod_async(address, array, self._stream)

    def download(self, array: np.ndarray, address: int) -> None:
        self._driver.memcpy_dtoh_async(array, address, self._stream)

    def wait(self) -> None:
        self._stream.synchronize()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        raise BackendError(
            "pycuda records no CUDA graphs",
            hint="pip install cuda-bindings, or leave --cuda-graph out",
        )

    def close(self) -> None:
        for memory in self._device:
            memory.free()
        self._device = []
