"""Sessions of ONNX Runtime: inference, the layers that execute and their times."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core.feeds import check_type, feed_of, fitted
from edge_scnet.machine.linux import usable_cores
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions
from edge_scnet.runtimes.base_session import BaseSession
from edge_scnet.runtimes.onnxruntime_layers import executed_layers
from edge_scnet.runtimes.onnxruntime_loading import load_session

# As OpenVINO's: a burst of a few runs is one slice of a shared processor's time.
_COUNTED_RUNS, _COUNTED_S = 30, 0.3

# of what may be confused: pixels as they are, and normalised
_TYPES: Mapping[str, np.dtype[Any]] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float)": np.dtype(np.float32),
}


class OnnxRuntimeSession(BaseSession):
    """`base.Session`; layers and times are told by sessions of their own."""

    def __init__(self, artifact: Path, options: OpenOptions) -> None:
        """Loads a file.

        Args:
            options: sizes that the file leaves open are 1 where their shapes do not give them.
        """
        self._artifact, self._threads = artifact, options.threads
        # inferences that `infer_many` has side by side
        self._at_once = usable_cores() if options.mode == "shared" else 1
        self._session = load_session(artifact, self._set_threads)
        inputs, shapes = self._session.get_inputs(), dict(options.shapes)
        self._name, self._type = inputs[0].name, _TYPES.get(inputs[0].type)
        self.output_names = tuple(output.name for output in self._session.get_outputs())
        # where inputs have no sizes, those of outputs may follow from them
        fixed = all(isinstance(d, int) for item in inputs for d in item.shape)
        self.open_outputs = tuple(
            fixed and any(not isinstance(d, int) for d in output.shape)
            for output in self._session.get_outputs()
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
        return list(self._session.run(None, self._feed(batch)))

    def infer_named(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(self._session.run(None, dict(feed)))

    def infer_many(
        self, batches: Iterable[np.ndarray], keep: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        if self._at_once == 1:
            # one request already uses every core; a second one would only queue behind it
            for i, batch in enumerate(batches):
                keep(i, self.infer(batch))
            return
        running = deque[tuple[int, Future[list[np.ndarray]]]]()
        with ThreadPoolExecutor(self._at_once) as threads:
            for i, batch in enumerate(batches):
                running.append((i, threads.submit(self.infer, batch)))
                if len(running) > 2 * self._at_once:
                    number, oldest = running.popleft()
                    keep(number, oldest.result())
            for number, future in running:
                keep(number, future.result())

    def executed_precisions(self) -> tuple[ExecutedLayer, ...]:
        return executed_layers(self._artifact, self._threads)

    def settings(self) -> dict[str, str]:
        return {
            "threads": str(self._threads) if self._threads else "default",
            "optimisation": "all",
            "provider": ", ".join(
                name.removesuffix("ExecutionProvider") for name in self._session.get_providers()
            ),
        }

    def layer_times(self, batches: Sequence[np.ndarray]) -> dict[str, float]:
        """Returns median ms by node, of runs under ONNX Runtime's profiler.

        It counts whole microseconds.
        """
        with tempfile.TemporaryDirectory() as folder:

            def profiled(settings: Any) -> None:
                self._set_threads(settings)
                settings.enable_profiling = True
                settings.profile_file_prefix = str(Path(folder, "profile"))

            session = load_session(self._artifact, profiled)
            number, end = 0, time.perf_counter() + _COUNTED_S
            while number < _COUNTED_RUNS or time.perf_counter() < end:
                session.run(None, self._feed(batches[number % len(batches)]))
                number += 1
            events = json.loads(Path(session.end_profiling()).read_bytes())
        return _medians(events)

    def _set_threads(self, settings: Any) -> None:
        settings.intra_op_num_threads = self._threads

    def _feed(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        feed = feed_of(batch, self._name)
        if self._type is not None:
            check_type(self._name, feed[self._name], self._type, self.input_shape)
        if len(feed) > 1:
            feed = {name: fitted(array, self._shapes[name]) for name, array in feed.items()}
        return feed


def _medians(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Median ms by node, of the profiler's events."""
    times: dict[str, list[float]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            times.setdefault(name.removesuffix("_kernel_time"), []).append(event["dur"] / 1e3)
    return {name: statistics.median(values) for name, values in times.items()}
