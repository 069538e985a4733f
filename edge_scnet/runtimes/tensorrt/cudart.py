"""CUDA's runtime API as plain calls, of a libcudart by ctypes or of cuda-bindings.

Both answer with CUDA's error code and at most one value, so `cuda.py` drives them alike. The
signatures are those of CUDA 11.4 to 13, the releases of JetPack 5 to 7.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from edge_scnet.errors import BackendError

OUT_OF_MEMORY = 2
STUB_LIBRARY, INSUFFICIENT_DRIVER = 34, 35
NO_DEVICE = 100
# cudaMemcpyKind, cudaStreamCaptureMode
TO_DEVICE, TO_HOST = 1, 2
# other threads' allocations do not end the capture
OF_THIS_THREAD = 1

_INT, _SIZE, _POINTER = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
_FLAGS = ctypes.c_ulonglong
# What each function gives through a pointer, and what it takes besides.
_SIGNATURES: dict[str, tuple[type[Any] | None, tuple[type[Any], ...]]] = {
    "cudaGetDeviceCount": (_INT, ()),
    "cudaRuntimeGetVersion": (_INT, ()),
    "cudaDriverGetVersion": (_INT, ()),
    "cudaMalloc": (_POINTER, (_SIZE,)),
    "cudaFree": (None, (_POINTER,)),
    "cudaMallocHost": (_POINTER, (_SIZE,)),
    "cudaFreeHost": (None, (_POINTER,)),
    "cudaMemcpyAsync": (None, (_POINTER, _POINTER, _SIZE, _INT, _POINTER)),
    "cudaStreamCreate": (_POINTER, ()),
    "cudaStreamSynchronize": (None, (_POINTER,)),
    "cudaStreamDestroy": (None, (_POINTER,)),
    "cudaStreamBeginCapture": (None, (_POINTER, _INT)),
    "cudaStreamEndCapture": (_POINTER, (_POINTER,)),
    # cudaGraphInstantiate itself has another signature in 11 than in 12
    "cudaGraphInstantiateWithFlags": (_POINTER, (_POINTER, _FLAGS)),
    "cudaGraphLaunch": (None, (_POINTER, _POINTER)),
    "cudaGraphExecDestroy": (None, (_POINTER,)),
    "cudaGraphDestroy": (None, (_POINTER,)),
}
# Of these the pointer for the result is the last parameter, of all others the first.
_RESULT_LAST = frozenset({"cudaStreamEndCapture"})
# Parameters that cuda-bindings takes as members of its enumerations, by their position.
_ENUMERATIONS = {
    "cudaMemcpyAsync": (3, "cudaMemcpyKind"),
    "cudaStreamBeginCapture": (1, "cudaStreamCaptureMode"),
}
# By the names that the loader knows them by: CUDA 13, 12 and 11, and that of its headers' package.
_LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")


class CudaRuntime(Protocol):
    """CUDA's runtime API."""

    @property
    def title(self) -> str:
        """What it is, for messages."""

    def attempt(self, name: str, *args: int) -> tuple[int, int]:
        """Calls a function.

        Args:
            args: numbers, addresses and handles, without the pointer for the result.

        Returns:
            CUDA's error code, and the result: 0 where the function has none.
        """

    def words(self, code: int) -> str:
        """What an error code means, in CUDA's words."""


def call(runtime: CudaRuntime, name: str, *args: int) -> int:
    """Calls a function and returns its result.

    Raises:
        BackendError: CUDA reports an error, which may be one of an earlier, asynchronous call.
    """
    code, result = runtime.attempt(name, *args)
    if code:
        hint = "free memory on the device: free -h; stop other programs that use the GPU"
        raise BackendError(
            f"CUDA: {name}: {runtime.words(code)} ({code})",
            hint=hint if code == OUT_OF_MEMORY else "edge-scnet doctor tells CUDA and its driver",
        )
    return result


class LibCudart:
    """`CudaRuntime` of a shared library."""

    def __init__(self, library: str) -> None:
        """Loads it.

        Args:
            library: a path, or a name that the loader looks for.

        Raises:
            OSError: there is none, or it is no CUDA runtime of 11.4 or newer.
        """
        loaded = ctypes.CDLL(library)
        self.title = library
        self._functions = {}
        try:
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(loaded, name)
                pointer = () if result is None else (_POINTER,)
                ordered = (*arguments, *pointer) if name in _RESULT_LAST else (*pointer, *arguments)
                function.argtypes, function.restype = ordered, _INT
                self._functions[name] = function
            self._error_string = loaded.cudaGetErrorString
        except AttributeError as error:
            raise OSError(f"{library} is no CUDA runtime of 11.4 or newer: {error}") from error
        self._error_string.argtypes, self._error_string.restype = (_INT,), ctypes.c_char_p

    def attempt(self, name: str, *args: int) -> tuple[int, int]:
        result = _SIGNATURES[name][0]
        if result is None:
            return int(self._functions[name](*args)), 0
        made = result()
        pointer = ctypes.byref(made)
        ordered = (*args, pointer) if name in _RESULT_LAST else (pointer, *args)
        code = int(self._functions[name](*ordered))
        return code, int(made.value or 0)

    def words(self, code: int) -> str:
        return bytes(self._error_string(code) or b"no words").decode(errors="replace")


class Bindings:
    """`CudaRuntime` of cuda-bindings, which brings a runtime of its own."""

    title = "cuda-bindings"

    def __init__(self) -> None:
        """Imports it.

        Raises:
            ImportError: it is not installed; or what is called `cuda` is something else: old
                cuda-python, cuda-core, a folder.
        """
        self._module = importlib.import_module("cuda.bindings.runtime")

    def attempt(self, name: str, *args: int) -> tuple[int, int]:
        converted: list[Any] = list(args)
        if name in _ENUMERATIONS:
            position, enumeration = _ENUMERATIONS[name]
            converted[position] = getattr(self._module, enumeration)(args[position])
        try:
            error, *values = getattr(self._module, name)(*converted)
        except RuntimeError as problem:  # releases that load libcudart do so at the first call
            raise BackendError(
                f"{self.title} cannot load the CUDA runtime: {problem}",
                hint="edge-scnet doctor tells CUDA and its driver",
            ) from problem
        return int(error), int(values[0] or 0) if values else 0

    def words(self, code: int) -> str:
        _, words = self._module.cudaGetErrorString(self._module.cudaError_t(code))
        return bytes(words).decode(errors="replace")


def libraries() -> Iterator[str]:
    """The libcudart that may be here, the likeliest first.

    Those are the one that a user's CUDA_HOME names, the one of JetPack, those that the loader
    knows, and those of pip's `nvidia-cuda-runtime` packages.
    """
    homes = [Path(home) for home in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if home]
    for home in homes:
        for folder in (home / "lib64", home / "lib"):
            yield from sorted(map(str, folder.glob("libcudart.so.*")), key=len)[:1]
    yield from _LIBRARIES
    packages = importlib.util.find_spec("nvidia")
    for folder in map(Path, (packages and packages.submodule_search_locations) or ()):
        yield from sorted(map(str, folder.glob("*/lib/libcudart.so.*")), reverse=True)
