"""Device memory, copies and streams, by the runtime API or by pycuda.

Both take part in the primary context, which TensorRT uses: pycuda by `autoprimaryctx`, for
`autoinit` would make a context of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from edge_scnet.errors import BackendError
from edge_scnet.runtimes.tensorrt.cudart import (
    OF_THIS_THREAD,
    TO_DEVICE,
    TO_HOST,
    CudaRuntime,
    call,
)


class Stream(Protocol):
    """A queue on the GPU, and the memory that it works on."""

    handle: int

    def allocate(self, size_bytes: int) -> int:
        """Allocates device memory and returns its address, which is aligned to 256 bytes."""

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Allocates page-locked host memory, which the GPU copies to and from without a detour.

        It is freed with the last array on it, and may outlive the stream.
        """

    def upload(self, address: int, array: np.ndarray) -> None:
        """Enqueues a copy of a contiguous array to the device."""

    def download(self, array: np.ndarray, address: int) -> None:
        """Enqueues a copy from the device to a contiguous array."""

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
        """Waits, and frees the graphs, the device memory and the stream; a second call does
        nothing."""


class RuntimeStream:
    """`Stream` by the runtime API."""

    def __init__(self, runtime: CudaRuntime) -> None:
        self._runtime = runtime
        # frees in the opposite order of making, and everything, whatever fails
        self._made, self._closed = contextlib.ExitStack(), False
        self.handle = self._call("cudaStreamCreate")
        self._made.callback(self._call, "cudaStreamDestroy", self.handle)

    def _call(self, name: str, *args: int) -> int:
        return call(self._runtime, name, *args)

    def allocate(self, size_bytes: int) -> int:
        address = self._call("cudaMalloc", max(size_bytes, 1))
        self._made.callback(self._call, "cudaFree", address)
        return address

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        size = max(math.prod(shape) * dtype.itemsize, 1)
        address = self._call("cudaMallocHost", size)
        buffer = (ctypes.c_byte * size).from_address(address)
        # an error that is told here is one of an earlier call
        weakref.finalize(buffer, self._runtime.attempt, "cudaFreeHost", address)
        array = np.frombuffer(memoryview(buffer), dtype, count=math.prod(shape))
        return array.reshape(shape)

    def upload(self, address: int, array: np.ndarray) -> None:
        source, size = array.ctypes.data, array.nbytes
        self._call("cudaMemcpyAsync", address, source, size, TO_DEVICE, self.handle)

    def download(self, array: np.ndarray, address: int) -> None:
        target, size = array.ctypes.data, array.nbytes
        self._call("cudaMemcpyAsync", target, address, size, TO_HOST, self.handle)

    def wait(self) -> None:
        self._call("cudaStreamSynchronize", self.handle)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self._call("cudaStreamBeginCapture", self.handle, OF_THIS_THREAD)
        try:
            work()
        except BaseException:
            # the stream is of use again; that the capture is broken (901) is not the cause
            _, broken = self._runtime.attempt("cudaStreamEndCapture", self.handle)
            if broken:
                self._runtime.attempt("cudaGraphDestroy", broken)
            raise
        graph = self._call("cudaStreamEndCapture", self.handle)
        try:
            executable = self._call("cudaGraphInstantiateWithFlags", graph, 0)
        finally:
            self._runtime.attempt("cudaGraphDestroy", graph)
        self._made.callback(self._call, "cudaGraphExecDestroy", executable)

        def launch() -> None:
            self._call("cudaGraphLaunch", executable, self.handle)

        return launch

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # first: a copy may still run, of memory that is freed next
        with self._made:
            self.wait()


class PyCudaStream:
    """`Stream` by pycuda."""

    def __init__(self) -> None:
        importlib.import_module("pycuda.autoprimaryctx")
        self._driver = importlib.import_module("pycuda.driver")
        self._made = contextlib.ExitStack()
        with self._told("Stream"):
            self._stream = self._driver.Stream()
        self.handle = int(self._stream.handle)

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Tells pycuda's errors as ours.

        Raises:
            BackendError: there was one.
        """
        try:
            yield
        except self._driver.Error as error:
            raise BackendError(f"CUDA: {name}: {error}") from error

    def allocate(self, size_bytes: int) -> int:
        with self._told("mem_alloc"):
            memory = self._driver.mem_alloc(max(size_bytes, 1))
        self._made.callback(memory.free)
        return int(memory)

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        size = max(math.prod(shape) * dtype.itemsize, 1)
        with self._told("pagelocked_empty"):
            memory: np.ndarray = self._driver.pagelocked_empty((size,), np.dtype(np.uint8))
        return np.frombuffer(memory, dtype, count=math.prod(shape)).reshape(shape)

    def upload(self, address: int, array: np.ndarray) -> None:
        with self._told("memcpy_htod_async"):
            self._driver.memcpy_htod_async(address, array, self._stream)

    def download(self, array: np.ndarray, address: int) -> None:
        with self._told("memcpy_dtoh_async"):
            self._driver.memcpy_dtoh_async(array, address, self._stream)

    def wait(self) -> None:
        with self._told("synchronize"):
            self._stream.synchronize()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        raise BackendError(
            "pycuda records no CUDA graphs",
            hint="leave --cuda-graph out, or EDGE_SCNET_CUDA=libcudart",
        )

    def close(self) -> None:
        if self._stream is None:
            return
        with self._told("close"), self._made:
            self.wait()
        self._stream = None  # pycuda destroys it with its last reference
