"""What a runtime offers: the protocol that its users see, and the answers that most share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from edge_scnet.core.facts import BlobFacts, Facts
from edge_scnet.core.manifest import ENGINE
from edge_scnet.core.optional import install_hint, installed
from edge_scnet.errors import BackendError

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec
    from edge_scnet.graph.lint import LintFinding

# The precision of an executed layer of which the runtime does not tell it.
UNKNOWN_PRECISION = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How to load an engine."""

    # Of what is not quantized: pinned "f32" or "bf16", or the runtime's default.
    precision: Literal["f32", "bf16", "default"] = "f32"
    mode: Literal["latency", "throughput", "shared"] = "latency"  # shared: beside other processes
    # 0: the runtime's default
    threads: int = 0
    # Another than the engine's own, where the runtime can reshape it; 0: the engine's.
    batch: int = 0
    # An inference is enqueued as one CUDA graph; None: it is not, and may be by `record_graph`.
    cuda_graph: bool | None = None
    # The shapes of inputs whose sizes the engine leaves open, by name.
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    # The engine as this runtime compiled it on such a machine, to be loaded instead of compiled.
    blob: Path | None = None

    @property
    def loads_blob(self) -> bool:
        """Whether the blob is loaded: it is of the engine's own shapes, and for latency."""
        is_own = not self.batch and not self.shapes
        return self.blob is not None and self.mode == "latency" and is_own


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInput:
    """An input as an engine declares it."""

    name: str
    # With the batch axis; None: left open.
    shape: tuple[int | None, ...]
    # NumPy's name of the type.
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedLayer:
    """One operation as the runtime executes it."""

    kind: str
    precision: str
    # The graph's nodes that are fused into it.
    nodes: tuple[str, ...]
    # The runtime's own name of it, where it has one.
    name: str = ""
    # It changes type or layout, and nothing else.
    is_copy: bool = False
    # It computes a convolution, though its kind may be none of `Runtime.convolutions`.
    is_convolution: bool = False
    # The precision of its first output, where the runtime tells it.
    writes: str = UNKNOWN_PRECISION


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An engine and what its builder told of it."""

    # The one to open first.
    files: tuple[Path, ...]
    # The runtime's version.
    version: str
    seconds: float
    # Empty where only the opened engine tells them.
    layers: tuple[ExecutedLayer, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def engine(self) -> Path:
        """The file to open."""
        return self.files[0]


def no_progress(share: float) -> None:
    """Takes the progress of a build that nobody watches."""


class Session(Protocol):
    """An engine loaded and ready.

    Arrays are N x C x H x W float32 on the host, N the engine's own batch. Once its context is left
    it holds nothing of the runtime and cannot be used.
    """

    input_shape: tuple[int, ...]
    output_names: tuple[str, ...]
    # By output, whether its size depends on the data; such an engine has a batch of 1.
    open_outputs: tuple[bool, ...]

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        """Runs one synchronous inference, host to host.

        Returns:
            The outputs; they may be views that the next call overwrites.
        """

    def infer_named(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Runs one synchronous inference of a graph with any number of inputs, by name."""

    def infer_many(
        self, batches: Iterable[np.ndarray], keep: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        """Runs all batches through the runtime's asynchronous requests.

        The requests are created by the first call and kept for the next.

        Args:
            keep: gets the number of a batch and its outputs, in any order.
        """

    def executed_precisions(self) -> tuple[ExecutedLayer, ...]:
        """The layers as they execute; empty where the runtime does not tell."""

    def settings(self) -> dict[str, str]:
        """How the runtime runs it, in its own words: threads, streams, hints."""

    def device_bytes(self) -> int | None:
        """Memory of the activations on a device of its own; None: all is in the process's."""

    def record_graph(self) -> str | None:
        """Records an inference as a CUDA graph, which `use_graph` switches on and off.

        Returns:
            Why it cannot be recorded, or None; inferences are as they were.
        """

    def use_graph(self, *, on: bool) -> None:
        """Makes every further inference the graph that was recorded, or not."""

    def layer_times(self, batches: Sequence[np.ndarray]) -> dict[str, float]:
        """Median ms by layer; empty where the runtime cannot tell.

        Each layer is timed by itself, which costs time: the session is good for nothing else after.
        """


class Runtime(Protocol):
    """A runtime: builds engines of ONNX files and opens them."""

    @property
    def name(self) -> str:
        """Its key in a target file."""

    @property
    def title(self) -> str:
        """Its name in sentences."""

    @property
    def artifact_kind(self) -> str:
        """The manifest's kind of the files that it opens."""

    @property
    def suffix(self) -> str:
        """The suffix of the files that it opens."""

    @property
    def engine_stem(self) -> str:
        """The name of the engines that it builds, in front of the suffix."""

    @property
    def extra(self) -> str:
        """The extra of edge-scnet that brings it."""

    @property
    def convolutions(self) -> frozenset[str]:
        """Kinds of executed layers that are convolutions."""

    @property
    def linear_layers(self) -> frozenset[str]:
        """Kinds of executed layers that are products of matrices."""

    @property
    def int8_precisions(self) -> frozenset[str]:
        """Precisions of executed layers that are INT8 execution."""

    @property
    def packs_bundle(self) -> bool:
        """Whether a build ends in a bundle for the board where it cannot build here."""

    @property
    def takes_cuda_graph(self) -> bool:
        """Whether an inference can be enqueued as one CUDA graph."""

    @property
    def has_other_default(self) -> bool:
        """Whether it may compute what is float in another precision than float32 by default."""

    @property
    def rounds_averages(self) -> bool:
        """Whether it may round averages of codes to codes once more."""

    @property
    def sums_by_threads(self) -> bool:
        """Whether the last digits of its sums depend on how many threads compute them."""

    def unavailable(self) -> str | None:
        """Why its package cannot be used here, or None."""

    def unavailable_to_run(self) -> str | None:
        """Why it cannot run an engine here, though it may build one; or None."""

    def builds_here(self) -> bool:
        """Whether engines built on this machine run where they are to."""

    def timing_program(self) -> Path | None:
        """The program that times its engines here where its package cannot run them."""

    def install_hint(self) -> str:
        """What to do where it is not installed."""

    def preload(self) -> None:
        """Imports the runtime and loads what it needs before any engine.

        So its own memory and first disk reads are not the engine's.

        Raises:
            MissingRuntimeError, BackendError: it cannot be loaded.
        """

    def check_target(self, target: TargetSpec) -> None:
        """Checks that it can serve a target.

        Raises:
            TargetError: it cannot.
        """

    def check_built(self, facts: Facts, rebuild: str) -> None:
        """Checks that an engine was built for this device and version.

        Args:
            facts: the engine's, of its manifest.
            rebuild: the command that builds it again.

        Raises:
            TargetError: it was built for another.
        """

    def rewrites(self, source: Path) -> tuple[LintFinding, ...]:
        """Places of a Q/DQ graph that it would get wrong and `build` writes in another form."""

    def build(
        self,
        source: Path,
        target: TargetSpec,
        out: Path,
        *,
        progress: Callable[[float], None] = no_progress,
    ) -> Built:
        """Compiles an ONNX file into `out`.

        Args:
            progress: gets the share that is done, where the builder tells it.

        Raises:
            MissingRuntimeError: it is not installed.
            BackendError: it refuses the file, in its own words.
            StorageError: `out` cannot be written.
        """

    def open(self, artifact: Path, options: OpenOptions) -> AbstractContextManager[Session]:
        """Loads an engine.

        Raises:
            MissingRuntimeError: it cannot run here.
            BackendError: it refuses the file, in its own words.
            TargetError: the engine cannot have `options.batch`.
        """

    def check_graph(self, graph: Path) -> None:
        """Raises ArtifactError for a float graph with what the runtime does not know."""

    def inputs_of(self, artifact: Path) -> tuple[EngineInput, ...]:
        """The inputs that an engine declares, in its order; it is not made ready to run.

        Raises:
            MissingRuntimeError: it cannot be opened here.
            BackendError: the runtime refuses the file, in its own words.
        """

    def blob_facts(self, engine: str, options: OpenOptions) -> BlobFacts | None:
        """What a blob is good for that is compiled here of an engine; None: it makes none."""

    def save_blob(self, artifact: Path, options: OpenOptions, out: Path) -> None:
        """Compiles an engine and writes it down so; raises BackendError where it cannot."""

    def versions(self) -> dict[str, str]:
        """The versions of its packages, by name; empty where it is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRuntime:
    """The facts of a runtime, and the answers that most runtimes share."""

    name: str
    title: str
    artifact_kind: str
    suffix: str
    extra: str
    convolutions: frozenset[str]
    int8_precisions: frozenset[str]
    # Names to import, the first that is there.
    modules: tuple[str, ...]
    linear_layers: frozenset[str] = frozenset()
    engine_stem: str = ENGINE
    has_other_default: bool = True
    packs_bundle: bool = False
    takes_cuda_graph: bool = False
    rounds_averages: bool = False
    sums_by_threads: bool = False

    def unavailable(self) -> str | None:
        if any(installed(name) for name in self.modules):
            return None
        return f"the package {self.modules[0]!r} is not installed"

    def unavailable_to_run(self) -> str | None:
        return self.unavailable()

    def builds_here(self) -> bool:
        return self.unavailable() is None

    def timing_program(self) -> Path | None:
        return None

    def install_hint(self) -> str:
        return install_hint(self.extra)

    def versions(self) -> dict[str, str]:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return {self.modules[0]: version(self.modules[0])}
        except PackageNotFoundError:
            return {}

    def check_built(self, facts: Facts, rebuild: str) -> None:
        """Accepts every engine: its files are good for any machine with this runtime."""

    def check_graph(self, graph: Path) -> None:
        """Accepts every graph: what is unknown is found when an engine is built."""

    def rewrites(self, source: Path) -> tuple[LintFinding, ...]:
        return ()

    def blob_facts(self, engine: str, options: OpenOptions) -> BlobFacts | None:
        return None

    def save_blob(self, artifact: Path, options: OpenOptions, out: Path) -> None:
        raise BackendError(f"{self.title} writes no compiled blobs: {artifact.name}")

    def _built(self, files: tuple[Path, ...], started: float) -> Built:
        """The record of a build that began at `started` (`time.perf_counter`)."""
        return Built(
            files=files,
            version=next(iter(self.versions().values()), ""),
            seconds=time.perf_counter() - started,
        )
