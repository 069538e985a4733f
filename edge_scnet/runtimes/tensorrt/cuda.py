"""The way to CUDA on this machine.

The machine's own libcudart comes first: it fits its driver, and nothing is to be installed.
cuda-bindings and pycuda are used where no libcudart is found, or where EDGE_SCNET_CUDA names them.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from edge_scnet.errors import BackendError
from edge_scnet.runtimes.tensorrt.cudart import (
    INSUFFICIENT_DRIVER,
    STUB_LIBRARY,
    Bindings,
    CudaRuntime,
    LibCudart,
    libraries,
)
from edge_scnet.runtimes.tensorrt.streams import PyCudaStream, RuntimeStream, Stream

# Names the way to CUDA: one of `_WAYS`, or the path of a libcudart.
VARIABLE = "EDGE_SCNET_CUDA"
_WAYS = ("libcudart", "cuda-bindings", "pycuda")
_INSTALL = (
    f"JetPack's CUDA: sudo apt install nvidia-jetpack; or {VARIABLE}=/path/to/libcudart.so.12"
)
# The way out on a machine that is no board.
DOCTOR = "run it on its board: edge-scnet doctor"


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaState:
    """The way to CUDA here, or why there is none."""

    # What it is: "/usr/local/cuda/lib64/libcudart.so.12.6.68"; None: nothing is found.
    title: str | None = None
    # CUDA releases of the runtime, and the newest that the driver takes: "12.6".
    runtime: str | None = None
    driver: str | None = None
    # Why no GPU can be used, and what to do then; None: one can.
    reason: str | None = None
    hint: str | None = None


def state() -> CudaState:
    """Looks for a way to CUDA."""
    return _chosen().state


def unavailable() -> str | None:
    """Returns why no GPU can be used here, or None."""
    return state().reason


def open_stream() -> Stream:
    """Opens a stream by the way that `state` tells.

    Raises:
        BackendError: there is none.
    """
    way = _chosen()
    if way.opener is None:
        raise BackendError(f"no stream on a GPU: {way.state.reason}", hint=way.state.hint)
    return way.opener()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A way to CUDA."""

    state: CudaState
    # opens a stream; None: it cannot be used
    opener: Callable[[], Stream] | None = None
    # whether another way may be usable: where there is no GPU at all, none is
    others_may_do: bool = False


def _chosen() -> _Way:
    """The first way by which a GPU can be used; else the first that is found."""
    asked = os.environ.get(VARIABLE, "")
    if asked and asked not in _WAYS and "/" not in asked:
        reason = f"{VARIABLE} is {asked!r}; allowed: {', '.join(_WAYS)}, or a libcudart's path"
        return _Way(state=CudaState(reason=reason, hint=f"unset {VARIABLE}"))
    failed: list[_Way] = []
    for way in _ways(asked):
        if not way.others_may_do:
            return way
        failed.append(way)
    found = [way for way in failed if way.state.title is not None]
    if found or (asked and failed):
        return (found or failed)[0]
    reason = "no CUDA runtime is found: no libcudart, cuda-bindings or pycuda"
    return _Way(state=CudaState(reason=reason, hint=_INSTALL))


def _ways(asked: str) -> Iterator[_Way]:
    """All ways, the preferred first.

    Args:
        asked: a way or a path, to have no other; "": any.
    """
    if "/" in asked:
        yield _of_runtime(asked, lambda: LibCudart(asked))
    if asked in ("", "libcudart"):
        for library in libraries():
            yield _of_runtime(library, functools.partial(LibCudart, library))
    if asked in ("", "cuda-bindings"):
        yield _of_runtime("cuda-bindings", Bindings)
    if asked in ("", "pycuda"):
        yield _of_pycuda()


def _not_loaded(title: str, error: Exception) -> _Way:
    """A way that is not here."""
    reason = f"{title} cannot be loaded: {error}"
    return _Way(state=CudaState(reason=reason, hint=_INSTALL), others_may_do=True)


def _of_runtime(title: str, load: Callable[[], CudaRuntime]) -> _Way:
    """A way by the runtime API."""
    try:
        runtime = load()
        code, count = runtime.attempt("cudaGetDeviceCount")
        release, of_driver = (
            _release(runtime.attempt(name)[1])
            for name in ("cudaRuntimeGetVersion", "cudaDriverGetVersion")
        )
    except (OSError, ImportError, BackendError) as error:
        return _not_loaded(title, error)
    found = CudaState(title=title, runtime=release, driver=of_driver)
    if code == INSUFFICIENT_DRIVER and of_driver is not None:
        return _Way(state=_for_newer_driver(found, of_driver), others_may_do=True)
    if code == INSUFFICIENT_DRIVER:
        hint = f"{DOCTOR}; in a container: docker run --runtime nvidia"
        reason = "no GPU: no NVIDIA driver is loaded here"
        return _Way(state=replace(found, reason=reason, hint=hint))
    if code == STUB_LIBRARY:
        reason = "no GPU: the libcuda.so that is loaded is CUDA's stub to link with, no driver"
        hint = (
            "take the folder stubs out of LD_LIBRARY_PATH and /etc/ld.so.conf.d: ldconfig -p | grep"
            " libcuda.so; in a container: docker run --runtime nvidia"
        )
        return _Way(state=replace(found, reason=reason, hint=hint))
    if code or not count:
        reason = f"no GPU: {runtime.words(code) if code else 'CUDA sees no device'}"
        return _Way(state=replace(found, reason=reason, hint=DOCTOR))
    return _Way(state=found, opener=lambda: RuntimeStream(runtime))


def _for_newer_driver(found: CudaState, of_driver: str) -> CudaState:
    """Says what CUDA's error 35 means where there is a driver."""
    newest = int(of_driver.partition(".")[0])
    # of 11 and older the driver must know the runtime's own number too
    release = "older than 12" if found.runtime is None else found.runtime
    return replace(
        found,
        reason=(
            f"this CUDA runtime is for a newer driver: {found.title} is CUDA {release}, the"
            f" driver takes {of_driver} at most"
        ),
        hint=(
            f"{VARIABLE}=/path/to/libcudart.so.{newest}, or"
            f" pip install 'cuda-bindings<{newest + 1}'"
        ),
    )


def _of_pycuda() -> _Way:
    """A way by pycuda."""
    try:
        driver = importlib.import_module("pycuda.driver")
    except ImportError as error:  # it is not installed, or libcuda is not
        return _not_loaded("pycuda", error)
    found = CudaState(title="pycuda", runtime=".".join(map(str, driver.get_version()[:2])))
    try:
        driver.init()
        count, newest = driver.Device.count(), _release(driver.get_driver_version())
    except driver.Error as error:
        return _Way(state=replace(found, reason=f"no GPU: {error}", hint=DOCTOR))
    if not count:
        return _Way(state=replace(found, reason="no GPU: CUDA sees no device", hint=DOCTOR))
    return _Way(state=replace(found, driver=newest), opener=PyCudaStream)


def _release(version: int) -> str | None:
    """CUDA's number of a release, 12060, as "12.6"; of none, 0, None."""
    return f"{version // 1000}.{version % 1000 // 10}" if version else None
