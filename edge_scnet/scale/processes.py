"""Processes of this machine as an `Executor`; where one dies, its task alone is lost.

`ProcessPoolExecutor` fails all that is on its way when one process dies, and its processes import
the caller's main module, which a script without a main guard does not survive.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from edge_scnet.core.child_process import cause_of_end, start_python

T = TypeVar("T")

# What a process runs.
ENTRY = "edge_scnet.scale.processes:serve"


class WorkerLostError(BrokenExecutor):
    """A worker ended before its task was done; the others go on."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        """Says how it ended.

        Args:
            seconds: that it had worked on the task.
        """
        super().__init__(message)
        self.seconds = seconds


class Processes(Executor):
    """So many processes, each started by its first task and again after its death."""

    def __init__(self, count: int) -> None:
        """Starts no process yet."""
        self._waiting: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock, self._closed, self._children = threading.Lock(), False, set[_Child]()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Has a function called in a process; function, arguments and result are pickled.

        Raises:
            RuntimeError: it was shut down.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            future: Future[T] = Future()
            self._waiting.put((future, (fn, args, kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the processes: when all is done, or at once with what they work on."""
        with self._lock:
            self._closed = True
        if cancel_futures:
            with contextlib.suppress(queue.Empty):
                while True:
                    if (item := self._waiting.get_nowait()) is not None:
                        item[0].cancel()
            for child in tuple(self._children):
                child.kill()
        for _ in self._threads:
            self._waiting.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    @property
    def process_ids(self) -> list[int]:
        """The numbers in the system of the processes that run."""
        return [child.process_id for child in tuple(self._children)]

    def _serve(self) -> None:
        """Hands tasks to one process, until there are no more."""
        child: _Child | None = None
        while (item := self._waiting.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            if child is None:
                try:
                    child = _Child()
                except OSError as error:  # no memory, processes or files are left
                    future.set_exception(WorkerLostError(f"a process cannot be started: {error}"))
                    continue
                self._children.add(child)
            began = time.monotonic()
            try:
                good, value = child.call(call)
            except (EOFError, OSError):
                self._children.discard(child)
                how, child = child.end(), None
                future.set_exception(
                    WorkerLostError(f"a process ended with {how}", time.monotonic() - began)
                )
                continue
            except Exception as error:  # what cannot be pickled is the caller's
                future.set_exception(error)
                continue
            if good:
                future.set_result(value)
            else:
                future.set_exception(value)
        if child is not None:
            self._children.discard(child)
            child.end()


_Item = tuple[Future[Any], tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]


class _Child:
    """The parent's end of a process."""

    def __init__(self) -> None:
        parent, child = socket.socketpair()
        with parent, child:
            self._process = start_python(ENTRY, child.fileno(), pass_fds=[child.fileno()])
            self._connection = Connection(parent.detach())

    @property
    def process_id(self) -> int:
        return self._process.pid

    def call(self, call: Any) -> tuple[bool, Any]:
        """Whether a function returned, and what; or what it raised.

        Raises:
            EOFError, OSError: the process died.
        """
        self._connection.send(call)
        answer: tuple[bool, Any] = self._connection.recv()
        return answer

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> str:
        """Hangs up, waits for the end, which is forced after two seconds, and says how it was."""
        with contextlib.suppress(OSError):
            self._connection.close()
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return cause_of_end(code)


def serve(fd: int) -> None:
    """Calls what comes through a socket, until the other end hangs up."""
    connection = Connection(fd)
    while True:
        try:
            call = connection.recv_bytes()
        except EOFError:
            return
        try:
            function, args, kwargs = pickle.loads(call)
            answer = (True, function(*args, **kwargs))
        except Exception as error:  # it is raised in the parent
            answer = (False, _sendable(error))
        try:
            connection.send(answer)
        except BrokenPipeError:
            return


def _sendable(error: Exception) -> Exception:
    """An exception that survives being pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its own pickling does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
