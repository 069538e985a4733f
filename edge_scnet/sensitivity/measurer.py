"""Builds engines and measures them against the all-INT8 one."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.config.target import TargetSpec
from edge_scnet.core.ragged import ragged
from edge_scnet.graph.model import save
from edge_scnet.quantizer.recipe import Prepared, assemble
from edge_scnet.runtimes.base import OpenOptions, Runtime, Session
from edge_scnet.runtimes.in_turn import time_ratio
from edge_scnet.sensitivity.result import Candidate
from edge_scnet.stats.accuracy import accuracy_stats, are_classes, relative_noise
from edge_scnet.stats.decibels import of_relative_noise
from edge_scnet.stats.figures import AccuracyStats, RatioStats
from edge_scnet.tasks.base import Evaluator

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """What the engines of a search are judged by, where that is not the class of each image."""

    evaluator: Evaluator
    # whether an engine is within the limits
    keeps: Callable[[AccuracyStats], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchImages:
    """What the engines of a search are measured on."""

    # N x C x H x W float32, N a multiple of the engine's batch
    images: np.ndarray
    # [N]
    labels: np.ndarray | None
    # the float graph's outputs for the images; ragged where their size depends on the data
    reference: Sequence[np.ndarray]
    # None: the first output has classes, where it can have
    task: SearchTask | None = None


class Measurer:
    """Builds and measures engines against the all-INT8 one, which stays open beside each.

    It is a context: entered, it builds the all-INT8 engine.
    """

    def __init__(
        self,
        prepared: Prepared,
        images: SearchImages,
        *,
        runtime: Runtime,
        target: TargetSpec,
        options: OpenOptions,
        form: Callable[[ir.Model], ir.Model] | None = None,
    ) -> None:
        """Builds nothing yet.

        Args:
            prepared: what the engines are assembled from.
            options: how the engines are opened.
            form: writes a Q/DQ graph as the runtime reads it; None: it reads it as it is.
        """
        self._prepared, self._data = prepared, images
        self._runtime, self._target, self._options = runtime, target, options
        self._form, self._built = form, 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Measurer:
        # one for all: TensorRT's timing cache lies in it, so that layers which are the same in two
        # engines have the same kernels, and the mix alone makes the difference
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._base = self._stack.enter_context(self._engine(()))
        self._base_has_graph = self._base.record_graph() is None
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        """Builds the engine with these nodes in float, and measures it.

        Raises:
            BackendError: the runtime refuses the graph.
        """
        names = tuple(sorted(keep_float))
        if not names:
            return self._candidate(names, self._base, None)
        with self._engine(names) as session:
            return self._candidate(names, session, self._time_ratio(session))

    def _candidate(
        self, names: tuple[str, ...], session: Session, ratio: RatioStats | None
    ) -> Candidate:
        reference = self._data.reference[0]
        if self._data.task is None:
            outputs = self._outputs(session)
            noise, within = relative_noise([reference], [outputs]), None
            drop = self._drop(outputs)
        else:
            noise, within = self._judged(session, self._data.task)
            drop = None
        return Candidate(
            keep_float=names,
            sqnr_db=of_relative_noise(noise),
            drop_upper95_pp=drop,
            within=within,
            time_ratio=ratio.ratio if ratio else 1.0,
            time_low=ratio.low if ratio else None,
            time_high=ratio.high if ratio else None,
        )

    def _drop(self, outputs: np.ndarray) -> float | None:
        """The highest drop that the images leave possible; None where outputs are no classes."""
        if not are_classes(outputs):
            return None
        reference, labels = self._data.reference[0], self._data.labels
        if labels is None:
            # FP32's own classes stand in: every image that changes class counts as lost
            labels = reference.argmax(axis=1)
        stats = accuracy_stats(outputs, reference, labels)
        if stats.doubts:
            # labels that FP32 does not know, or an engine that says one class: as without labels
            stats = accuracy_stats(outputs, reference, reference.argmax(axis=1))
        return None if stats.labels is None else stats.labels.drop_upper95_pp

    def _judged(self, session: Session, task: SearchTask) -> tuple[float, bool]:
        """The relative noise over all outputs, and whether the task's limits are kept.

        Batch by batch: maps of all images are more than memory may hold.
        """
        data, batch, evaluator = self._data, session.input_shape[0], task.evaluator
        noise, count = 0.0, len(data.images)
        own: list[Any] = []
        kept: list[Any] = []
        for start in range(0, count, batch):
            rows = slice(start, start + batch)
            wanted = [output[rows] for output in data.reference]
            outputs = [
                ragged([array]) if is_open else array
                for array, is_open in zip(
                    map(np.array, session.infer(data.images[rows])),
                    session.open_outputs,
                    strict=True,
                )
            ]
            noise += relative_noise(wanted, outputs) * len(wanted[0]) / count
            indices = range(start, start + len(wanted[0]))
            kept += evaluator.reduce(wanted, wanted, indices)
            own += evaluator.reduce(outputs, wanted, indices)
        stats = AccuracyStats(
            images=count,
            agreement_percent=None,
            agreeing=None,
            sqnr_db=of_relative_noise(noise),
            labels=None,
            task=evaluator.compare(own, kept),
        )
        return noise, task.keeps(stats)

    def _time_ratio(self, session: Session) -> RatioStats:
        """The engine's time over that of the all-INT8 one, as CUDA graphs where both can be."""
        graph = self._base_has_graph and session.record_graph() is None
        return time_ratio(
            session, self._base, self._data.images[: session.input_shape[0]], graph=graph
        )

    def _outputs(self, session: Session) -> np.ndarray:
        """The first output for all images."""
        batch, images = session.input_shape[0], self._data.images
        return np.concatenate(
            [
                np.array(session.infer(images[i : i + batch])[0])
                for i in range(0, len(images), batch)
            ]
        )

    @contextlib.contextmanager
    def _engine(self, names: tuple[str, ...]) -> Iterator[Session]:
        """An engine with these nodes in float, built and open."""
        self._built += 1
        name, model = f"model-{self._built}", assemble(self._prepared, names).model
        source = self._folder / f"{name}.qdq.onnx"
        save(model if self._form is None else self._form(model), source)
        built = self._runtime.build(
            source, self._target, self._folder / f"{name}{self._runtime.suffix}"
        )
        try:
            with self._runtime.open(built.engine, self._options) as session:
                yield session
        finally:
            for file in (source, *built.files):
                file.unlink(missing_ok=True)
