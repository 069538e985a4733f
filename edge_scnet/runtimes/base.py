"""What a runtime's module must offer. No base classes: a module that has these names is a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from edge_scnet.errors import TargetError

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec
    from edge_scnet.graph.lint import LintFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How to load an engine. `precision` is that of what is not quantized: pinned "f32", or the
    runtime's default.
    """

    precision: Literal["f32", "default"] = "f32"
    mode: Literal["latency", "throughput"] = "latency"
    threads: int = 0  # 0: the runtime's default
    batch: int = (
        0  # another than the engine's own, where the runtime can reshape it; 0: the engine's
    )
    cuda_graph: bool = False  # of a plan: an inference is enqueued as one CUDA graph


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedLayer:
    """One operation as the runtime executes it: its kind, its precision, and the graph's nodes
    fused into it.
    """

    kind: str
    precision: str
    nodes: tuple[str, ...]
    name: str = ""  # the runtime's own, where it has one
    is_copy: bool = False  # changes type or layout, and nothing else


def fixed_batch(artifact: Path, built: int, asked: int) -> TargetError:
    """The error of a runtime whose engines have the batch they were built with."""
    return TargetError(
        f"{artifact.name} was built for batch {built} and cannot run batch {asked}",
        hint=f"edge-scnet build --batch {asked}",
    )


class Session(Protocol):
    """An engine loaded and ready. Arrays are N x C x H x W float32 on the host, N the engine's own
    batch.

    Once its context is left it holds nothing of the runtime and cannot be used.
    """

    input_shape: tuple[int, ...]
    output_names: tuple[str, ...]

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        """One synchronous inference, host to host; the outputs may be views that the next call
        overwrites.
        """

    def infer_named(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """One synchronous inference of a graph with any number of inputs, by name."""

    def infer_many(
        self, batches: Iterable[np.ndarray], keep: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        """All batches through the runtime's asynchronous requests; `keep(i, outputs)` gets batch
        i's, in any order.

        The requests are created by the first call and kept for the next.
        """

    def executed_precisions(self) -> tuple[ExecutedLayer, ...]: ...

    def settings(self) -> dict[str, str]:
        """How the runtime runs it, in its own words: threads, streams, hints."""


class Backend(Protocol):
    """A runtime."""

    ARTIFACT_KIND: str
    SUFFIX: str
    EXTRA: str
    CONVOLUTIONS: frozenset[str]  # kinds of executed layer that are convolutions
    INT8_PRECISIONS: frozenset[str]  # precisions that are INT8 execution of a convolution

    def unavailable(self) -> str | None:
        """Why it cannot run here, or None."""

    def install_hint(self) -> str:
        """What to do where it is not installed."""

    def preload(self) -> None:
        """Imports the runtime and loads what it needs before any engine, so that its own memory and
        first disk reads are not the engine's. Raises MissingRuntimeError or BackendError.
        """

    def check_target(self, target: TargetSpec) -> None:
        """Raises TargetError for a target this runtime cannot serve."""

    def check_built(self, facts: Mapping[str, Any], rebuild: str) -> None:
        """Raises TargetError for an engine that was built for another device or version, by its
        manifest's facts; `rebuild` is the command that builds it again.
        """

    def rewrites(self, source: Path) -> tuple[LintFinding, ...]:
        """Places of a Q/DQ graph that `build` writes in another form that means the same, for the
        runtime gets them wrong.
        """

    def build(self, source: Path, target: TargetSpec, out: Path) -> tuple[Path, ...]:
        """Compiles an ONNX file into `out`; returns the files written, the one to open first."""

    def open(self, artifact: Path, options: OpenOptions) -> AbstractContextManager[Session]: ...

    def versions(self) -> dict[str, str]: ...
