"""ONNX Runtime on the CPU: opens ONNX files as they are, float or Q/DQ."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import installed, require
from edge_scnet.errors import BackendError, TargetError, first_line
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions, fixed_batch

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec
    from edge_scnet.graph.lint import LintFinding

ARTIFACT_KIND = "onnx"
SUFFIX = ".onnx"
EXTRA = "quantize"
CONVOLUTIONS = frozenset({"Conv"})
INT8_PRECISIONS = frozenset({"uint8", "int8"})


def unavailable() -> str | None:
    return None if installed("onnxruntime") else "the package 'onnxruntime' is not installed"


def install_hint() -> str:
    return f"pip install 'edge-scnet[{EXTRA}]'"


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"onnxruntime": version("onnxruntime")}


def preload() -> None:
    require("onnxruntime", extra=EXTRA)


def check_target(target: TargetSpec) -> None:
    raise TargetError(f"{target.name}: ONNX Runtime opens ONNX files, no target compiles for it")


def check_built(
    facts: Mapping[str, Any], rebuild: str
) -> None: ...  # its files are good for any machine with this runtime


def rewrites(source: Path) -> tuple[LintFinding, ...]:
    return ()  # ONNX Runtime with its optimisations off is what the others are compared with


def build(source: Path, target: TargetSpec, out: Path) -> tuple[Path, ...]:
    """Refuses: an ONNX file is what this runtime executes, there is nothing to compile."""
    check_target(target)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def open(artifact: Path, options: OpenOptions) -> Iterator[_Session]:
    """Loads an ONNX file with ONNX Runtime's default optimisations.

    Raises:
        BackendError: ONNX Runtime's own message.
    """
    ort = require("onnxruntime", extra=EXTRA)
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = options.threads
    try:
        session = _Session(
            ort.InferenceSession(str(artifact), settings, providers=["CPUExecutionProvider"])
        )
    except Exception as error:
        raise BackendError(
            f"ONNX Runtime cannot load {artifact.name}: {first_line(error)}",
            hint="build again: edge-scnet build; the installed versions: edge-scnet doctor",
        ) from error
    if options.batch not in (0, session.input_shape[0]):
        raise fixed_batch(artifact, session.input_shape[0], options.batch)
    try:
        yield session
    finally:
        session.close()


class _Session:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._name = session.get_inputs()[0].name
        self.output_names = tuple(output.name for output in session.get_outputs())
        shape = session.get_inputs()[0].shape
        self.input_shape = tuple(d if isinstance(d, int) else 1 for d in shape)

    def close(self) -> None:
        self._session = None

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        return list(self._session.run(None, {self._name: batch}))

    def infer_named(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(self._session.run(None, dict(feed)))

    def infer_many(
        self, batches: Iterable[np.ndarray], keep: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        # one request already uses every core; a second one would only queue behind it
        for i, batch in enumerate(batches):
            keep(i, self.infer(batch))

    def settings(self) -> dict[str, str]:
        threads = self._session.get_session_options().intra_op_num_threads
        return {"threads": str(threads) if threads else "default"}

    def executed_precisions(self) -> tuple[ExecutedLayer, ...]:
        return ()  # ONNX Runtime does not tell without its profiler
