"""ONNX Runtime on the CPU: opens ONNX files as they are, float or Q/DQ."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.feeds import feed_of, fitted
from edge_scnet.core.native_path import utf8_path
from edge_scnet.core.optional import require
from edge_scnet.errors import BackendError, TargetError, first_line
from edge_scnet.runtimes.base import (
    BaseRuntime,
    BaseSession,
    Built,
    EngineInput,
    OpenOptions,
    fixed_batch,
    no_progress,
)

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRuntime(BaseRuntime):
    """ONNX Runtime, with its default optimisations.

    With its optimisations off it is what the other runtimes are compared with (`graph/run.py`).
    """

    name: str = "onnxruntime"
    title: str = "ONNX Runtime"
    artifact_kind: str = "onnx"
    suffix: str = ".onnx"
    extra: str = "quantize"
    convolutions: frozenset[str] = frozenset({"Conv"})
    int8_precisions: frozenset[str] = frozenset({"uint8", "int8"})
    modules: tuple[str, ...] = ("onnxruntime",)
    compiles: bool = False

    def preload(self) -> None:
        require("onnxruntime", extra=self.extra)

    def check_target(self, target: TargetSpec) -> None:
        raise _nothing_to_compile(target)

    def build(
        self,
        source: Path,
        target: TargetSpec,
        out: Path,
        *,
        progress: Callable[[float], None] = no_progress,
    ) -> Built:
        """Refuses: an ONNX file is what this runtime executes, there is nothing to compile."""
        raise _nothing_to_compile(target)

    def inputs_of(self, artifact: Path) -> tuple[EngineInput, ...]:
        ort = require("onnxruntime", extra=self.extra)
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            with utf8_path(artifact) as name:
                session = ort.InferenceSession(name, settings, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime cannot load {artifact}: {first_line(error)}",
                hint="is it a whole ONNX file, its external data beside it?",
            ) from error
        return tuple(
            EngineInput(
                name=item.name,
                shape=tuple(d if isinstance(d, int) and d > 0 else None for d in item.shape),
                dtype=_type_of(item.type),
            )
            for item in session.get_inputs()
        )

    @contextlib.contextmanager
    def open(self, artifact: Path, options: OpenOptions) -> Iterator[_Session]:
        """Loads an ONNX file with ONNX Runtime's default optimisations.

        Sizes that the file leaves open are 1 where `options.shapes` does not give them.

        Raises:
            BackendError: ONNX Runtime's own message.
            TargetError: `options.batch` is another than the file's.
        """
        ort = require("onnxruntime", extra=self.extra)
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        settings.intra_op_num_threads = options.threads
        try:
            with utf8_path(artifact) as name:
                loaded = ort.InferenceSession(name, settings, providers=["CPUExecutionProvider"])
            session = _Session(loaded, dict(options.shapes))
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


def _type_of(name: str) -> str:
    """NumPy's name of a type of ONNX Runtime, as "tensor(float)"; its own where there is none."""
    inner = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


def _nothing_to_compile(target: TargetSpec) -> TargetError:
    return TargetError(f"{target.name}: ONNX Runtime opens ONNX files, no target compiles for it")


class _Session(BaseSession):
    """`base.Session`; ONNX Runtime does not tell executed layers without its profiler."""

    def __init__(self, session: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._session = session
        inputs = session.get_inputs()
        self._name = inputs[0].name
        self.output_names = tuple(output.name for output in session.get_outputs())
        # where inputs have no sizes, those of outputs may follow from them
        fixed = all(isinstance(d, int) for item in inputs for d in item.shape)
        self.open_outputs = tuple(
            fixed and any(not isinstance(d, int) for d in output.shape)
            for output in session.get_outputs()
        )
        self._shapes = {
            item.name: shapes.get(
                item.name, tuple(d if isinstance(d, int) else 1 for d in item.shape)
            )
            for item in inputs
        }
        self.input_shape = self._shapes[self._name]

    def close(self) -> None:
        self._session = None

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        feed = feed_of(batch, self._name)
        if len(feed) > 1:
            feed = {name: fitted(array, self._shapes[name]) for name, array in feed.items()}
        return list(self._session.run(None, feed))

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


ONNX_RUNTIME = OnnxRuntime()
