"""The parent's end of a child, the process that measures one engine."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet import errors
from edge_scnet.core.child_process import cause_of_end, start_python
from edge_scnet.core.feeds import random_batch
from edge_scnet.core.spec import InputForm, ModelSpec, engine_spec
from edge_scnet.data.batches import batches
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import BackendError
from edge_scnet.profiler.child import Loaded
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.stats.figures import EngineRole

_TIMED_IMAGES = 16

# What a child was asked for, in a user's words.
_STAGES = {
    "timed_block": "latency",
    "warm_up": "warm-up",
    "record_graph": "CUDA graph",
    "use_graph": "CUDA graph",
    "evaluate": "accuracy",
    "open_evaluation": "accuracy",
    "end_to_end": "end to end",
    "open_ahead": "end to end",
    "ahead": "end to end",
    "open_throughput": "throughput",
    "layers": "load",
    "settings": "load",
    "layer_times": "time by layer",
}

# What a child runs.
ENTRY = "edge_scnet.profiler.child:main"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFile:
    """An engine to measure."""

    # of its row in a report
    name: str
    role: EngineRole
    runtime: str
    path: Path
    # how to load it
    options: OpenOptions
    # of all its files
    size_bytes: int
    # of the file at `path`
    sha256: str
    # layers that should execute in INT8 and do not, as the build found
    not_int8: tuple[str, ...] = ()
    # of a plan, the nodes of its graph that are convolutions: its kernels' kinds may not tell
    convolutions: tuple[str, ...] = ()
    # why its compiled blob is not loaded, in words; empty: it is, or there is none
    cold: str = ""
    # what it takes, of a build's engine
    input: InputForm = field(default_factory=InputForm)


class Child:
    """The parent's end of one engine's process."""

    def __init__(self, engine: EngineFile) -> None:
        """Starts the process; the engine is not loaded yet."""
        self.engine = engine
        self.batch = 1
        self.on_cpu = True
        self._doing = "start"
        parent, child = socket.socketpair()
        self._process = start_python(ENTRY, child.fileno(), pass_fds=[child.fileno()])
        child.close()
        self._connection = Connection(parent.detach())

    def load(self, images: np.ndarray) -> Loaded:
        """Has the engine loaded; `images` are what it is timed with.

        Raises:
            EdgeError: the engine cannot be loaded, or its process died.
        """
        engine = self.engine
        loaded: Loaded = self.call("load", engine.runtime, engine.path, engine.options, images)
        self.batch = loaded.batch
        self.on_cpu = loaded.device_activation_bytes is None
        return loaded

    def start(self, method: str, *args: Any) -> None:
        """Asks for a method of `child.Server`; `result` waits for its answer.

        Raises:
            BackendError: the process died.
        """
        self._doing = method
        try:
            self._connection.send((method, args))
        except OSError as error:
            raise self._died() from error

    def result(self) -> Any:
        """The answer to what `start` asked for.

        Raises:
            EdgeError: the method's own error, or the process died.
        """
        try:
            status, value = self._connection.recv()
        except (EOFError, OSError) as error:  # OSError: it died in the middle of its answer
            raise self._died() from error
        if status == "error":
            name, message, hint = value
            kind = getattr(errors, name, BackendError)
            raise kind(f"{self.engine.name}: {message}", hint=hint)
        return value

    def call(self, method: str, *args: Any) -> Any:
        """The answer of a method of `child.Server`.

        Raises:
            EdgeError: the method's own error, or the process died.
        """
        self.start(method, *args)
        return self.result()

    @property
    def process_id(self) -> int:
        """The process's number in the system."""
        return self._process.pid

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()

    def hang_up(self) -> None:
        """Closes the connection: the process ends when it has done what it was asked for."""
        with contextlib.suppress(OSError):
            self._connection.close()

    def close(self) -> None:
        """Hangs up and waits for the end, which is forced after two seconds."""
        self.hang_up()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _died(self) -> BackendError:
        code = self._process.wait(timeout=10)
        hint = "the machine may be out of memory: free -h" if code == -signal.SIGKILL else None
        stage = _STAGES.get(self._doing, self._doing)
        what = f"{self.engine.name}: the process measuring {self.engine.path.name}"
        return BackendError(f"{what} ended with {cause_of_end(code)} in stage '{stage}'", hint=hint)


@contextlib.contextmanager
def engine_process(engine: EngineFile, spec: ModelSpec) -> Iterator[Child]:
    """A process with the engine loaded; its `call` reaches `child.Server`.

    Raises:
        EdgeError: the engine cannot be loaded, or its process died.
    """
    child = Child(engine)
    try:
        child.load(timed_images(None, engine_spec(spec, engine.input)))
        yield child
    finally:
        child.close()


def timed_images(samples: SampleSet | None, spec: ModelSpec) -> np.ndarray:
    """The images that engines are timed on: the first of the samples, or random ones.

    Returns:
        A batch as `feeds` has them.
    """
    if samples is None:
        return random_batch(spec, _TIMED_IMAGES, seed=0)
    return next(batches(samples, spec, batch=_TIMED_IMAGES))
