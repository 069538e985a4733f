"""Runtimes by name. A new one is a module that meets `base.Backend`, one line here, and one extra."""

from __future__ import annotations

import importlib
from typing import cast

from edge_scnet.errors import ArtifactError, MissingRuntimeError
from edge_scnet.runtimes.base import Backend

# A module, or an object in one.
BACKENDS = {
    "openvino": "edge_scnet.runtimes.openvino",
    "onnxruntime": "edge_scnet.runtimes.onnxruntime",
    "tensorrt": "edge_scnet.runtimes.tensorrt.backend:TENSORRT",
    "tensorrt_rtx": "edge_scnet.runtimes.tensorrt.backend:RTX",
}


def get_backend(name: str) -> Backend:
    """The backend module of a runtime, whether or not it can run here.

    Raises:
        KeyError: no such runtime.
    """
    module, _, attribute = BACKENDS[name].partition(":")
    found = importlib.import_module(module)
    return cast(Backend, getattr(found, attribute) if attribute else found)


def usable_backend(name: str) -> Backend:
    """The backend module of a runtime that can run here.

    Raises:
        MissingRuntimeError: it cannot, with the reason and the install command.
    """
    backend = get_backend(name)
    if reason := backend.unavailable():
        raise MissingRuntimeError(reason, hint=backend.install_hint())
    return backend


def artifact_kinds() -> tuple[str, ...]:
    """The kinds of artifacts that a runtime opens."""
    return tuple(get_backend(name).ARTIFACT_KIND for name in BACKENDS)


def backend_of(kind: str) -> str:
    """The runtime that opens artifacts of a kind ("openvino-ir", "onnx").

    Raises:
        ArtifactError: no runtime opens it.
    """
    kinds = {get_backend(name).ARTIFACT_KIND: name for name in BACKENDS}
    if kind not in kinds:
        raise ArtifactError(
            f"no runtime opens artifacts of kind {kind!r}; known are {', '.join(kinds)}",
            hint="edge-scnet build",
        )
    return kinds[kind]
