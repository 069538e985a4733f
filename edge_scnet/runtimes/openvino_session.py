"""Sessions on engines of OpenVINO: inference, the layers that execute and their times."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edge_scnet.core.feeds import check_type, feed_of, fitted
from edge_scnet.runtimes.base import ExecutedLayer
from edge_scnet.runtimes.base_session import BaseSession

# A burst of a few runs is one slice of a shared processor's time: what disturbs it disturbs whole
# layers.
_COUNTED_RUNS, _COUNTED_S = 30, 0.3
_SETTINGS = {
    "INFERENCE_NUM_THREADS": "threads",
    "NUM_STREAMS": "streams",
    "PERFORMANCE_HINT": "hint",
    "ENABLE_CPU_PINNING": "pinning",
}
# What the frontend adds to a node's name where the bias becomes an Add of its own. Folded again,
# the two may be listed under that name alone.
_NO_BIAS = "/WithoutBiases"


class _Request:
    """An inference request and views of its own tensors.

    OpenVINO's `infer({0: batch})` wraps arrays and results anew at every call, which takes 30 us:
    7 % of a small network's time. Copying into the request's input takes 1 us of 3 kB, and 0.1 % of
    an inference of SCNet-50.
    """

    def __init__(self, compiled: Any) -> None:
        self.native = compiled.create_infer_request()
        ports = compiled.inputs
        tensors = [tensor.data for tensor in self.native.input_tensors]
        self._first = ports[0].any_name
        # a port may have several names
        self._inputs = {
            name: tensor for port, tensor in zip(ports, tensors, strict=True) for name in port.names
        }
        self._outputs: list[np.ndarray] = [tensor.data for tensor in self.native.output_tensors]
        # outputs whose sizes depend on the data have other memory after every inference
        self._sizes_change = any(port.partial_shape.is_dynamic for port in compiled.outputs)

    @property
    def outputs(self) -> list[np.ndarray]:
        """Views of what the last inference gave."""
        if self._sizes_change:
            return [tensor.data for tensor in self.native.output_tensors]
        return self._outputs

    def fill(self, batch: np.ndarray) -> None:
        """Raises ValueError for a batch of another shape: copying would repeat it."""
        feed = {self._first: batch} if batch.dtype.names is None else feed_of(batch, self._first)
        for name, array in feed.items():
            wanted = self._inputs[name].shape
            array = fitted(array, wanted)
            check_type(name, array, self._inputs[name].dtype, wanted)
            if array.shape != wanted:
                raise ValueError(f"{name} is {wanted}, got {array.shape}")
            self._inputs[name][...] = array


class OpenVinoSession(BaseSession):
    """`base.Session` of a compiled model."""

    def __init__(self, ov: Any, compiled: Any) -> None:
        """Takes an engine.

        Args:
            ov: the module openvino.
            compiled: its CompiledModel.
        """
        self._ov, self._compiled = ov, compiled
        self._request: _Request | None = _Request(compiled)
        self._pool: list[_Request] = []
        # compiles the engine again, its layers timed
        self.counting: Callable[[], Any] | None = None
        self.input_shape = tuple(int(d) for d in compiled.input(0).shape)
        self.output_names = tuple(str(output.any_name) for output in compiled.outputs)
        self.open_outputs = tuple(port.partial_shape.is_dynamic for port in compiled.outputs)

    def close(self) -> None:
        self._pool, self._request, self._compiled, self.counting = [], None, None, None

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        request = self._request
        assert request is not None, "the session is closed"
        request.fill(batch)
        request.native.infer(share_outputs=True)
        return request.outputs

    def infer_named(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        # a request of its own: it is given other tensors than those that `infer` writes to
        return list(self._compiled.create_infer_request().infer(dict(feed)).values())

    def infer_many(
        self, batches: Iterable[np.ndarray], keep: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        # not AsyncInferQueue: its callbacks need the GIL on the runtime's threads, and freeing a
        # queue or an engine waits for those threads with the GIL held, now and then for ever
        # (2026.4.1; openvino#37073 mends a part of it)
        if not self._pool:
            count = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            # one more than run at once: there is always one waiting while the oldest is emptied and
            # filled again
            self._pool = [_Request(self._compiled) for _ in range(count + 1)]
        idle, running = list(self._pool), deque[tuple[int, _Request]]()

        def finish_oldest() -> None:
            i, request = running[0]
            request.native.wait()
            keep(i, [output.copy() for output in request.outputs])
            idle.append(running.popleft()[1])

        try:
            for i, batch in enumerate(batches):
                if not idle:
                    finish_oldest()
                request = idle.pop()
                request.fill(batch)
                request.native.start_async()
                running.append((i, request))
            while running:
                finish_oldest()
        finally:
            # something failed: no request may still run when the next call fills it
            for _, request in running:
                request.native.wait()

    def executed_precisions(self) -> tuple[ExecutedLayer, ...]:
        layers = []
        for operation in self._compiled.get_runtime_model().get_ordered_ops():
            info = operation.get_rt_info()
            kind = info["layerType"].astype(str)
            if kind in ("Const", "Input", "Output"):
                continue
            layers.append(
                ExecutedLayer(
                    kind=kind,
                    precision=info["runtimePrecision"].astype(str),
                    nodes=_named(info["originalLayersNames"].astype(str)),
                    name=str(operation.get_friendly_name()),
                )
            )
        return tuple(layers)

    def settings(self) -> dict[str, str]:
        return {name: str(self._compiled.get_property(key)) for key, name in _SETTINGS.items()}

    def layer_times(self, batches: Sequence[np.ndarray]) -> dict[str, float]:
        """Returns median ms by layer, of runs in which each layer is timed by itself.

        OpenVINO counts whole microseconds.
        """
        if self.counting is None:
            return {}
        ports = self._compiled.inputs
        shapes = {name: tuple(port.shape) for port in ports for name in port.names}
        first = ports[0].any_name
        request = self.counting().create_infer_request()
        times: dict[str, list[float]] = {}
        number, end = 0, time.perf_counter() + _COUNTED_S
        while number < _COUNTED_RUNS or time.perf_counter() < end:
            feed = feed_of(batches[number % len(batches)], first)
            request.infer({name: fitted(array, shapes[name]) for name, array in feed.items()})
            number += 1
            for row in request.profiling_info:
                if row.status == self._ov.ProfilingInfo.Status.EXECUTED:
                    times.setdefault(row.node_name, []).append(row.real_time.total_seconds() * 1e3)
        return {name: statistics.median(values) for name, values in times.items()}


def _named(original: str) -> tuple[str, ...]:
    """Returns the names of the nodes that a layer lists; one with commas comes as several."""
    names = [name for name in original.split(",") if name]
    plain = [name.removesuffix(_NO_BIAS) for name in names]
    kept = zip(names, plain, strict=True)
    return tuple(short for name, short in kept if name == short or short not in names)
