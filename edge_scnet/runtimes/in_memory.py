"""A runtime whose engines are Python functions, for tests of what is built on runtimes.

It ships with the interface, so that a test need not patch a real runtime: it says what an engine
computes, how long it takes, which layers it executes, and how it fails.

    def compute(images):
        return [images.mean(axis=(2, 3))]

    engine = Engine(compute=compute, input_shape=(1, 3, 32, 32), seconds=0.001)
    with registered({"engine.mem": engine}) as runtime:
        with runtime_named("in_memory").open(Path("engine.mem"), OpenOptions()) as session:
            session.infer(images)
        assert runtime.log == ["open engine.mem latency", "close engine.mem"]

Outside of `registered` no function of `edge_scnet.runtimes` finds it, no target file can name it,
and no artifact of its kind is opened: nothing that it measured can end in a verdict by accident. It
is registered in its own process only: a process that measures an engine does not know it.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.__about__ import __version__
from edge_scnet.core.feeds import feed_of
from edge_scnet.core.files import write_text
from edge_scnet.errors import BackendError, MissingRuntimeError
from edge_scnet.runtimes import RUNTIMES
from edge_scnet.runtimes.base import (
    BaseRuntime,
    Built,
    EngineInput,
    ExecutedLayer,
    OpenOptions,
    Session,
    no_progress,
)
from edge_scnet.runtimes.fixed_batch import fixed_batch

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What an engine computes, takes and tells."""

    # Gets the inputs in the order in which they are given, each N x C x H x W; gives the outputs.
    compute: Callable[..., Sequence[np.ndarray]]
    input_shape: tuple[int, ...]
    # The inputs behind the first.
    more_inputs: tuple[EngineInput, ...] = ()
    output_names: tuple[str, ...] = ("output",)
    # Those whose size depends on the data, by name.
    counted_outputs: tuple[str, ...] = ()
    # Slept in every inference.
    seconds: float = 0.0
    # It can be opened with another batch than its own.
    takes_any_batch: bool = False
    layers: tuple[ExecutedLayer, ...] = ()
    layer_times_ms: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    device_bytes: int | None = None
    # Slept in every inference of a CUDA graph.
    graph_seconds: float = 0.0
    # Why none can be recorded.
    graph_fault: str | None = None
    # Raised when it is opened.
    open_error: Exception | None = None
    # Raised by every inference after so many right ones.
    infer_error: Exception | None = None
    inferences_before_error: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InMemory(BaseRuntime):
    """A runtime that opens the engines it was given, by file name."""

    name: str = "in_memory"
    title: str = "In-memory runtime"
    artifact_kind: str = "in-memory"
    suffix: str = ".mem"
    extra: str = "test"
    convolutions: frozenset[str] = frozenset({"Convolution"})
    int8_precisions: frozenset[str] = frozenset({"int8"})
    modules: tuple[str, ...] = ()
    engines: dict[str, Engine] = field(default_factory=dict)
    # What `build` makes of an ONNX file.
    compiler: Callable[[Path], Engine] | None = None
    # Why it cannot build or run here.
    missing: str | None = None
    missing_to_run: str | None = None
    # Its packages' versions, by name.
    packages: Mapping[str, str] = field(default_factory=lambda: {"edge-scnet": __version__})
    # What was done with it, in order: "preload", "build NAME", "open NAME MODE", "close NAME".
    log: list[str] = field(default_factory=list)
    # Every session that was opened; it is dead where nobody holds it any more.
    sessions: list[weakref.ref[InMemorySession]] = field(default_factory=list)

    def unavailable(self) -> str | None:
        return self.missing

    def unavailable_to_run(self) -> str | None:
        return self.missing or self.missing_to_run

    def versions(self) -> dict[str, str]:
        return {} if self.missing else dict(self.packages)

    def preload(self) -> None:
        self.log.append("preload")

    def check_target(self, target: TargetSpec) -> None:
        """Accepts every target."""

    def build(
        self,
        source: Path,
        target: TargetSpec,
        out: Path,
        *,
        progress: Callable[[float], None] = no_progress,
    ) -> Built:
        """Makes an engine by `compiler` and writes a file that stands for it.

        The file may be renamed: it says which engine it is.

        Raises:
            BackendError: there is no `compiler`.
            StorageError: `out` cannot be written.
        """
        self.log.append(f"build {out.name}")
        if self.compiler is None:
            raise BackendError(f"{self.title} cannot read {source.name}: it compiles nothing")
        started = time.perf_counter()
        engine = self.compiler(source)
        write_text(out, out.name)
        self.engines[out.name] = engine
        progress(1.0)
        return replace(self._built((out,), started), layers=engine.layers)

    @contextlib.contextmanager
    def open(self, artifact: Path, options: OpenOptions) -> Iterator[Session]:
        """Opens an engine that was given by its file's name, or built.

        Raises:
            MissingRuntimeError: it is told to be missing.
            BackendError: there is no such engine.
            TargetError: the engine has another batch than `options.batch`.
        """
        if reason := self.unavailable_to_run():
            raise MissingRuntimeError(f"{artifact.name} cannot run here: {reason}")
        engine = self._engine(artifact)
        if engine.open_error is not None:
            raise engine.open_error
        batch, *rest = engine.input_shape
        if options.batch not in (0, batch):
            if not engine.takes_any_batch:
                raise fixed_batch(artifact, batch, options.batch)
            batch = options.batch
        self.log.append(f"open {artifact.name} {options.mode}")
        session = InMemorySession(engine, (batch, *rest))
        session.use_graph(on=options.cuda_graph is True)
        self.sessions.append(weakref.ref(session))
        try:
            yield session
        finally:
            session.close()
            self.log.append(f"close {artifact.name}")

    def inputs_of(self, artifact: Path) -> tuple[EngineInput, ...]:
        engine = self._engine(artifact)
        first = EngineInput(name="input", shape=engine.input_shape, dtype="float32")
        return (first, *engine.more_inputs)

    def _engine(self, artifact: Path) -> Engine:
        """The engine of a file that `build` wrote, or of a file's name."""
        name = artifact.name
        if artifact.is_file() and (written := artifact.read_bytes()[:256].decode("latin-1")):
            name = written if written in self.engines else name
        if name not in self.engines:
            raise BackendError(f"{self.title} cannot load {artifact.name}: it has no such engine")
        return self.engines[name]


class InMemorySession:
    """`base.Session` of an engine in memory."""

    def __init__(self, engine: Engine, input_shape: tuple[int, ...]) -> None:
        self._engine: Engine | None = engine
        self._inferences = 0
        self._graph = False
        self.input_shape = input_shape
        self.output_names = engine.output_names
        self.open_outputs = tuple(name in engine.counted_outputs for name in engine.output_names)

    def close(self) -> None:
        self._engine = None

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        feed = feed_of(batch, "input")
        first = next(iter(feed.values()))
        if first.shape != self.input_shape:
            raise ValueError(f"the input is {self.input_shape}, got {first.shape}")
        return self.infer_named(feed)

    def infer_named(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        engine = self._opened()
        if engine.infer_error and self._inferences >= engine.inferences_before_error:
            raise engine.infer_error
        self._inferences += 1
        if seconds := engine.graph_seconds if self._graph else engine.seconds:
            time.sleep(seconds)
        return list(engine.compute(*feed.values()))

    def infer_many(
        self, batches: Iterable[np.ndarray], keep: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        for i, batch in enumerate(batches):
            keep(i, self.infer(batch))

    def executed_precisions(self) -> tuple[ExecutedLayer, ...]:
        return self._opened().layers

    def settings(self) -> dict[str, str]:
        return dict(self._opened().settings)

    def record_graph(self) -> str | None:
        return self._opened().graph_fault

    def use_graph(self, *, on: bool) -> None:
        self._graph = on

    def device_bytes(self) -> int | None:
        return self._opened().device_bytes

    def layer_times(self, batches: Sequence[np.ndarray]) -> dict[str, float]:
        return dict(self._opened().layer_times_ms)

    def _opened(self) -> Engine:
        assert self._engine is not None, "the session is closed"
        return self._engine


@contextlib.contextmanager
def registered(
    engines: Mapping[str, Engine] | None = None,
    *,
    in_place_of: str | None = None,
    compiler: Callable[[Path], Engine] | None = None,
    missing: str | None = None,
    missing_to_run: str | None = None,
    packages: Mapping[str, str] | None = None,
) -> Iterator[InMemory]:
    """Registers an in-memory runtime in this process until the context is left.

    Args:
        engines: by file name.
        in_place_of: the name of a runtime that it stands in for: it takes its name, the kind and
            suffix of its files, and what it can do. None: it is one more, called "in_memory".
        compiler: what `build` makes of an ONNX file.
        missing: why it is not installed. missing_to_run: why it can only build.
        packages: its packages' versions, by name.
    """
    runtime = InMemory(
        engines=dict(engines or {}),
        compiler=compiler,
        missing=missing,
        missing_to_run=missing_to_run,
        packages=packages or {"edge-scnet": __version__},
    )
    replaced = None if in_place_of is None else RUNTIMES[in_place_of]
    if replaced is not None:
        runtime = replace(
            runtime,
            name=replaced.name,
            title=replaced.title,
            artifact_kind=replaced.artifact_kind,
            suffix=replaced.suffix,
            extra=replaced.extra,
            convolutions=replaced.convolutions,
            linear_layers=replaced.linear_layers,
            int8_precisions=replaced.int8_precisions,
            engine_stem=replaced.engine_stem,
            has_other_default=replaced.has_other_default,
            packs_bundle=replaced.packs_bundle,
            takes_cuda_graph=replaced.takes_cuda_graph,
        )
    assert replaced is not None or runtime.name not in RUNTIMES, "it is registered already"
    RUNTIMES[runtime.name] = runtime
    try:
        yield runtime
    finally:
        if replaced is None:
            del RUNTIMES[runtime.name]
        else:
            RUNTIMES[replaced.name] = replaced
