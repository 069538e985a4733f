"""Engines of the tiny network, as files to be measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_scnet.core.files import sha256_file
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.profiler.process import EngineFile
from edge_scnet.runtimes.base import OpenOptions

SPEC = replace(
    FASHION_MNIST, name="tiny", input_shape=(1, 6, 6), classes=(), num_classes=4, dataset=None
)


def quiet(what: str, share: float, count: int = 0, unit: str = "") -> None: ...


def engine_file(path: Path, name: str = "tiny", *, runtime: str = "onnxruntime") -> EngineFile:
    return EngineFile(
        name=name,
        role="int8" if name == "int8" else "reference",
        runtime=runtime,
        path=path,
        options=OpenOptions(threads=1),
        size_bytes=path.stat().st_size,
        sha256=sha256_file(path),
    )
