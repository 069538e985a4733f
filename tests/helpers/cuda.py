"""CUDA for tests without a GPU: a libcudart of a few lines of C, and packages before it."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_scnet.runtimes.tensorrt.cuda import VARIABLE
from edge_scnet.runtimes.tensorrt.cudart import LibCudart
from tests.helpers.data import DATA

WAYS = ("libcudart", "cuda-bindings", "pycuda")
COMPILER = shutil.which("cc") or shutil.which("gcc")


class FakeCudart:
    """The library of `fake_cudart.c`, and what it noted."""

    def __init__(self, folder: Path) -> None:
        """Compiles it, where there is a compiler; skips the test elsewhere."""
        if COMPILER is None:
            pytest.skip("no C compiler: cc or gcc")
        self.path = folder / "libcudart.so.13"
        source = DATA / "fake_cudart.c"
        subprocess.run(
            [COMPILER, "-std=c11", "-shared", "-fPIC", "-o", self.path, source], check=True
        )
        self._library = ctypes.CDLL(str(self.path))
        self._library.fake_notes.restype = ctypes.c_char_p
        self.reset()

    def reset(self, *, code: int = 0, driver: int = 13000, free_bytes: int = 1 << 20) -> None:
        """Forgets everything.

        Args:
            code: what `cudaGetDeviceCount` answers.
            driver: the newest CUDA that its driver takes; 0: there is no driver.
            free_bytes: the most that one allocation may have.
        """
        self._library.fake_reset(code, driver, free_bytes)

    @property
    def notes(self) -> list[str]:
        """The calls."""
        return str(self._library.fake_notes().decode()).splitlines()

    @property
    def live(self) -> int:
        """How many things are made and not freed."""
        return int(self._library.fake_live())

    def install(self, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
        """Makes a way to CUDA lead to it."""
        if way == "libcudart":
            monkeypatch.setenv(VARIABLE, str(self.path))
            return
        monkeypatch.setenv(VARIABLE, way)
        if way == "cuda-bindings":
            monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", _bindings(self.path))
            return
        monkeypatch.setitem(sys.modules, "pycuda.autoprimaryctx", ModuleType("pycuda"))
        monkeypatch.setitem(sys.modules, "pycuda.driver", _PyCuda(self.path))


class _Kind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class _Mode(IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


def _bindings(path: Path) -> Any:
    """A module with cuda-bindings' signatures: (error, result), and enumerations for kinds."""
    library = LibCudart(str(path))

    class Module(ModuleType):
        cudaMemcpyKind, cudaStreamCaptureMode, cudaError_t = _Kind, _Mode, int

        def cudaGetErrorString(self, code: int) -> tuple[int, bytes]:
            return 0, library.words(code).encode()

        def __getattr__(self, name: str) -> Any:
            def function(*args: Any) -> tuple[Any, ...]:
                if name == "cudaMemcpyAsync":
                    assert isinstance(args[3], _Kind)
                if name == "cudaStreamBeginCapture":
                    assert isinstance(args[1], _Mode)
                code, result = library.attempt(name, *args)
                gives = name.startswith(("cudaGet", "cudaMalloc", "cudaStreamCreate")) or (
                    name in ("cudaRuntimeGetVersion", "cudaDriverGetVersion")
                    or name in ("cudaStreamEndCapture", "cudaGraphInstantiateWithFlags")
                )
                return (code, None if code else result) if gives else (code,)

            return function

    return Module("cuda.bindings.runtime")


class _PyCudaError(Exception): ...


class _PyCuda(ModuleType):
    """The part of pycuda's driver that is used."""

    Error = _PyCudaError

    def __init__(self, path: Path) -> None:
        super().__init__("pycuda.driver")
        self._library = LibCudart(str(path))
        self.Stream = functools.partial(_PyCudaStream, self.call)
        self.mem_alloc = functools.partial(_PyCudaMemory, self.call)
        self.Device = SimpleNamespace(count=self.init)

    def call(self, name: str, *args: int) -> int:
        code, result = self._library.attempt(name, *args)
        if code:
            raise _PyCudaError(f"{name} failed: {self._library.words(code)}")
        return result

    def init(self) -> int:
        return self.call("cudaGetDeviceCount")

    def get_version(self) -> tuple[int, int, int]:
        return 12, 6, 0

    def get_driver_version(self) -> int:
        return self.call("cudaDriverGetVersion")

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self.call("cudaMallocHost", size)
        buffer = (ctypes.c_byte * size).from_address(address)
        weakref.finalize(buffer, self.call, "cudaFreeHost", address)
        return np.frombuffer(buffer, dtype).reshape(shape)

    def memcpy_htod_async(self, address: int, array: np.ndarray, stream: _PyCudaStream) -> None:
        source, size = array.ctypes.data, array.nbytes
        self.call("cudaMemcpyAsync", address, source, size, 1, stream.handle)

    def memcpy_dtoh_async(self, array: np.ndarray, address: int, stream: _PyCudaStream) -> None:
        target, size = array.ctypes.data, array.nbytes
        self.call("cudaMemcpyAsync", target, address, size, 2, stream.handle)


class _PyCudaStream:
    def __init__(self, call: Callable[..., int]) -> None:
        self._call, self.handle = call, call("cudaStreamCreate")
        weakref.finalize(self, call, "cudaStreamDestroy", self.handle)

    def synchronize(self) -> None:
        self._call("cudaStreamSynchronize", self.handle)


class _PyCudaMemory:
    def __init__(self, call: Callable[..., int], size: int) -> None:
        self._call, self._address = call, call("cudaMalloc", size)

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._call("cudaFree", self._address)
