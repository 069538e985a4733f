"""Runtimes by name.

A new one is a module with an object that meets `base.Runtime`, a line here, and an extra.
"""

from __future__ import annotations

from edge_scnet.errors import ArtifactError, MissingRuntimeError
from edge_scnet.runtimes.base import Runtime
from edge_scnet.runtimes.onnxruntime import ONNX_RUNTIME
from edge_scnet.runtimes.openvino import OPENVINO
from edge_scnet.runtimes.tensorrt.backend import RTX, TENSORRT

_ALL: tuple[Runtime, ...] = (OPENVINO, ONNX_RUNTIME, TENSORRT, RTX)
RUNTIMES = {runtime.name: runtime for runtime in _ALL}


def runtime_named(name: str) -> Runtime:
    """The runtime of a name, whether or not it can run here.

    Raises:
        KeyError: no such runtime.
    """
    return RUNTIMES[name]


def usable_runtime(name: str) -> Runtime:
    """The runtime of a name, whose package is installed here.

    Raises:
        KeyError: no such runtime.
        MissingRuntimeError: it is not, with the reason and the install command.
    """
    runtime = runtime_named(name)
    if reason := runtime.unavailable():
        raise MissingRuntimeError(reason, hint=runtime.install_hint())
    return runtime


def artifact_kinds() -> tuple[str, ...]:
    """The kinds of artifacts that a runtime opens."""
    return tuple(runtime.artifact_kind for runtime in RUNTIMES.values())


def runtime_of_kind(kind: str) -> Runtime:
    """The runtime that opens artifacts of a kind ("openvino-ir", "onnx").

    Raises:
        ArtifactError: no runtime opens it.
    """
    for runtime in RUNTIMES.values():
        if runtime.artifact_kind == kind:
            return runtime
    raise ArtifactError(
        f"no runtime opens artifacts of kind {kind!r}; known are {', '.join(artifact_kinds())}",
        hint="edge-scnet build",
    )
