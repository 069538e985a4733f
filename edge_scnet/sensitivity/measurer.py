"""Engines built and timed against the all-INT8 one."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.config.target import TargetSpec
from edge_scnet.graph.model import save
from edge_scnet.quantize.recipe import Prepared, assemble
from edge_scnet.runtimes.base import OpenOptions, Runtime, Session
from edge_scnet.sensitivity.result import Candidate
from edge_scnet.stats.accuracy import accuracy_stats, relative_noise
from edge_scnet.stats.decibels import of_relative_noise
from edge_scnet.stats.timing import paired_ratio

_ROUNDS = 15

_BLOCK_S = 0.03


class Measurer:
    """Builds and measures engines against the all-INT8 one, which stays open beside each."""

    def __init__(
        self,
        prepared: Prepared,
        *,
        runtime: Runtime,
        target: TargetSpec,
        options: OpenOptions,
        images: np.ndarray,
        labels: np.ndarray | None,
        reference: np.ndarray,
    ) -> None:
        self._prepared, self._runtime, self._target, self._options = (
            prepared,
            runtime,
            target,
            options,
        )
        self._images, self._labels, self._reference = images, labels, reference
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Measurer:
        self._base = self._stack.enter_context(self._engine(()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        """Builds the engine with these nodes in float, and measures it."""
        names = tuple(sorted(keep_float))
        if not names:
            return self._rate(names, self._base, None)
        with self._engine(names) as session:
            return self._rate(names, session, self._times(session))

    def _rate(
        self, names: tuple[str, ...], session: Session, blocks: tuple[Any, Any] | None
    ) -> Candidate:
        outputs = self._outputs(session)
        noise = relative_noise([self._reference], [outputs])
        ratio = paired_ratio(*blocks) if blocks else None
        return Candidate(
            keep_float=names,
            sqnr_db=of_relative_noise(noise),
            drop_upper95_pp=self._drop(outputs),
            time_ratio=ratio.ratio if ratio else 1.0,
            time_low=ratio.low if ratio else None,
            time_high=ratio.high if ratio else None,
        )

    def _drop(self, outputs: np.ndarray) -> float | None:
        if outputs.ndim != 2 or outputs.shape[1] < 2:
            return None
        # without labels FP32's own classes stand in: every image that changes class counts as lost
        labels = self._labels if self._labels is not None else self._reference.argmax(axis=1)
        labelled = accuracy_stats(outputs, self._reference, labels).labels
        return None if labelled is None else labelled.drop_upper95_pp

    def _times(self, session: Session) -> tuple[list[list[int]], list[list[int]]]:
        blocks: tuple[list[list[int]], list[list[int]]] = ([], [])
        for number in range(_ROUNDS + 1):
            order = (0, 1) if number % 2 else (1, 0)
            for i in order:
                found = self._block((session, self._base)[i])
                if number:  # the first round warms up
                    blocks[i].append(found)
        return blocks

    def _block(self, session: Session) -> list[int]:
        clock, times = time.perf_counter_ns, list[int]()
        batch = session.input_shape[0]
        data = self._images[:batch]
        session.infer(data)
        end = clock() + int(_BLOCK_S * 1e9)
        while len(times) < 3 or clock() < end:
            started = clock()
            session.infer(data)
            times.append(clock() - started)
        return times

    def _outputs(self, session: Session) -> np.ndarray:
        batch = session.input_shape[0]
        return np.concatenate(
            [
                np.array(session.infer(self._images[i : i + batch])[0])
                for i in range(0, len(self._images), batch)
            ]
        )

    @contextlib.contextmanager
    def _engine(self, names: tuple[str, ...]) -> Iterator[Session]:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "model.qdq.onnx")
            save(assemble(self._prepared, names).model, source)
            built = self._runtime.build(
                source, self._target, Path(folder, f"model{self._runtime.suffix}")
            )
            with self._runtime.open(built.engine, self._options) as session:
                yield session
