"""A plan on the GPU, through the tensor API by names.

TensorRT 8.5 to 11 and TensorRT-RTX share that API.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.feeds import check_type, feed_of, fitted
from edge_scnet.core.manifest import BUNDLE
from edge_scnet.errors import BackendError
from edge_scnet.runtimes.base import EngineInput, ExecutedLayer
from edge_scnet.runtimes.base_session import BaseSession
from edge_scnet.runtimes.tensorrt import cuda
from edge_scnet.runtimes.tensorrt import layers as trt_layers
from edge_scnet.runtimes.tensorrt.open_output import OpenOutput

if TYPE_CHECKING:
    import tensorrt

_PROFILED_RUNS = 30
# What to do where TensorRT cannot start on the GPU.
NO_START = (
    "free memory: free -h, and stop other programs that use the GPU; in a container: docker run"
    " --runtime nvidia; edge-scnet doctor tells CUDA and its driver"
)


@contextlib.contextmanager
def opened(trt: Any, artifact: Path, *, cuda_graph: bool = False) -> Iterator[PlanSession]:
    """Deserialises a plan and gives it its memory.

    Args:
        trt: the package.

    Raises:
        BackendError: TensorRT refuses the plan (another version or GPU, or damaged) in its own
            words, or cannot start on this GPU.
    """
    messages: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if "ERROR" in str(severity):
                messages.append(message)

    logger = Logger()
    try:
        runtime: tensorrt.Runtime = trt.Runtime(logger)
    except TypeError as error:  # "factory function returned nullptr": the logger has the cause
        words = "; ".join(dict.fromkeys(messages)) or str(error)
        raise BackendError(
            f"TensorRT {trt.__version__} cannot start here: {words}", hint=NO_START
        ) from error
    engine = runtime.deserialize_cuda_engine(artifact.read_bytes())
    context = engine.create_execution_context() if engine is not None else None
    if context is None:
        words = "; ".join(dict.fromkeys(messages)) or "no message from TensorRT"
        raise BackendError(
            f"TensorRT {trt.__version__} cannot load {artifact.name}: {words}",
            hint=(
                f"a plan belongs to the GPU and TensorRT that built it: edge-scnet compile {BUNDLE}"
            ),
        )
    session = PlanSession(trt, runtime, engine, context)
    # the session alone holds them from here, and lets go of them before their memory
    del runtime, engine, context
    try:
        if cuda_graph:
            session.require_graph()
        yield session
    except BaseException:
        with contextlib.suppress(BackendError):  # that CUDA is broken since is not the cause
            session.close()
        raise
    session.close()


class PlanSession(BaseSession):
    """`base.Session` of a plan; host arrays pass through page-locked memory."""

    def __init__(
        self,
        trt: Any,
        runtime: tensorrt.Runtime,
        engine: tensorrt.ICudaEngine,
        context: tensorrt.IExecutionContext,
    ) -> None:
        self._trt, self._runtime, self._engine, self._context = trt, runtime, engine, context
        self._profiler: Any = None
        # the recorded inference, and whether it is used
        self._graph: Callable[[], None] | None = None
        self._replay: Callable[[], None] | None = None
        self._open: dict[str, OpenOutput] = {}
        self._host: dict[str, np.ndarray] = {}
        self._address: dict[str, int] = {}
        self._stream = cuda.open_stream()
        try:
            self._bind()
        except BaseException:
            self.close()
            raise

    def _bind(self) -> None:
        """Gives each input and output its memory."""
        trt, engine, context = self._trt, self._engine, self._context
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._inputs, self._outputs = inputs, [name for name in names if name not in inputs]
        for name in names:
            sizes = engine.get_tensor_shape(name)
            shape = tuple(int(sizes[axis]) for axis in range(len(sizes)))
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            if min(shape, default=1) < 0:
                if name in inputs:
                    raise BackendError(
                        f"{name} of the plan has open sizes ({' x '.join(map(str, shape))}), which"
                        " are not supported",
                        hint="build it for fixed shapes",
                    )
                # inputs have their sizes: it depends on the data
                self._open[name] = OpenOutput(trt, self._stream, dtype)
                context.set_output_allocator(name, self._open[name].allocator)
                continue
            self._host[name] = self._stream.pinned(shape, dtype)
            self._address[name] = self._stream.allocate(self._host[name].nbytes)
            context.set_tensor_address(name, self._address[name])
        self.input_shape = self._host[inputs[0]].shape
        self.inputs = tuple(
            EngineInput(name=name, shape=host.shape, dtype=host.dtype.name)
            for name, host in self._host.items()
            if name in inputs
        )
        self.output_names = tuple(self._outputs)
        self.open_outputs = tuple(name in self._open for name in self._outputs)

    def close(self) -> None:
        """Lets go of the context, then the engine and the runtime, then of their memory."""
        self._graph = self._replay = None
        del self._context
        self._profiler = None
        del self._engine, self._runtime
        self._open.clear()
        self._host.clear()
        self._stream.close()

    def device_bytes(self) -> int:
        """Memory of the activations."""
        size = getattr(self._engine, "device_memory_size_v2", None)
        return int(size if size is not None else self._engine.device_memory_size)

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        return self.infer_named(feed_of(batch, self._inputs[0]))

    def infer_named(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        for name, array in feed.items():
            host = self._host[name]
            check_type(name, array, host.dtype, host.shape)
            np.copyto(host, fitted(array, host.shape))
        (self._replay or self._enqueue)()
        self._stream.wait()
        return [
            self._open[name].array if name in self._open else self._host[name]
            for name in self._outputs
        ]

    def _enqueue(self) -> None:
        for name in self._inputs:
            self._stream.upload(self._address[name], self._host[name])
        if not self._context.execute_async_v3(self._stream.handle):
            raise BackendError("TensorRT could not enqueue the inference")
        for name in self._outputs:
            if name in self._open:
                self._open[name].download()
            else:
                self._stream.download(self._host[name], self._address[name])

    def record_graph(self) -> str | None:
        try:
            self._record()
        except BackendError as fault:
            # the stream and the plan must be of use as before: if they are not, that is told
            try:
                self._enqueue()
                self._stream.wait()
            except BackendError as broken:
                raise BackendError(
                    f"{broken.message}, since a CUDA graph could not be recorded: {fault.message}",
                    hint="time it without: edge-scnet profile BUILD_FOLDER --no-cuda-graph",
                ) from fault
            return fault.message
        return None

    def use_graph(self, *, on: bool) -> None:
        self._replay = self._graph if on else None

    def require_graph(self) -> None:
        """Makes every further inference one CUDA graph, copies included.

        Small networks are bound by enqueueing otherwise.

        Raises:
            BackendError: it cannot be recorded.
        """
        self._record()
        self.use_graph(on=True)

    def _record(self) -> None:
        if self._open:
            raise BackendError(
                f"the size of {next(iter(self._open))} depends on the data, and a CUDA graph copies"
                " the same sizes each time",
                hint="leave --cuda-graph out",
            )
        # TensorRT updates its own state in the first enqueue after a change of shapes: that one
        # must not be recorded
        self._enqueue()
        self._stream.wait()
        self._graph = self._stream.record(self._enqueue)

    def infer_many(
        self, batches: Iterable[np.ndarray], keep: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        # one context runs one inference at a time; a second context would share the GPU with it
        for i, batch in enumerate(batches):
            keep(i, [output.copy() for output in self.infer(batch)])

    def layer_times(self, batches: Sequence[np.ndarray]) -> dict[str, float]:
        times: dict[str, list[float]] = {}

        class Profiler(self._trt.IProfiler):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                times.setdefault(layer_name, []).append(ms)

        self._replay = None  # a graph's layers are not reported
        # the context holds no reference of its own to it
        self._profiler = self._context.profiler = Profiler()
        for number in range(_PROFILED_RUNS):
            self.infer(batches[number % len(batches)])
        return {name: statistics.median(values) for name, values in times.items()}

    def settings(self) -> dict[str, str]:
        return {"CUDA graph": "no" if self._replay is None else "yes"}

    def executed_precisions(self) -> tuple[ExecutedLayer, ...]:
        inspector = self._engine.create_engine_inspector()
        text = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        try:
            return trt_layers.executed(trt_layers.from_inspector(text))
        except ValueError as error:
            raise BackendError(f"the engine inspector: {error}") from error
