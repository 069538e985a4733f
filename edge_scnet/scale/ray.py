"""Ray's workers as an `Executor`, over Ray's public interface alone.

Ray's own futures are not used as they are: they cancel no task, and what a task raised comes out of
them as an exception of Ray's whose text is a traceback.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, TypeVar

from edge_scnet.core.optional import require
from edge_scnet.errors import BackendError, first_line
from edge_scnet.scale.identity import identity
from edge_scnet.scale.processes import WorkerLostError

T = TypeVar("T")

# What Ray raises where the worker of a task died, or its machine.
_LOST = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "LocalRayletDiedError")
_CONNECT_S, _ASK_S = 20.0, 60.0


class RayExecutor(Executor):
    """A task of Ray, with one processor, for each call."""

    def __init__(self, ray: Any) -> None:
        """Takes Ray's module, connected to its cluster."""
        self._ray = ray
        # tasks are sent again by whoever sent them, who counts what that costs
        self._remote = ray.remote(num_cpus=1, max_retries=0)(_called)
        self._references: dict[Future[Any], Any] = {}

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Has a function called by a worker; it is pickled by name, its arguments by value."""
        reference = self._remote.remote(fn, args, kwargs)
        future: Future[T] = Future()
        self._references[future] = reference
        future.add_done_callback(self._ended)
        reference.future().add_done_callback(partial(self._take, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Gives up what no worker has finished; the connection is not this object's to end."""
        if cancel_futures:
            for future in tuple(self._references):
                future.cancel()

    def _take(self, future: Future[Any], of_ray: Future[Any]) -> None:
        """Hands the outcome of a task on."""
        if not future.set_running_or_notify_cancel():
            return
        error = of_ray.exception()
        if error is None:
            future.set_result(of_ray.result())
        else:
            future.set_exception(self._meant(error))

    def _ended(self, future: Future[Any]) -> None:
        reference = self._references.pop(future)
        if future.cancelled():
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._ray.cancel(reference, force=True)

    def _meant(self, error: BaseException) -> BaseException:
        """An exception of Ray's as whoever sent the task knows it."""
        kinds = self._ray.exceptions
        if isinstance(error, kinds.RayTaskError):
            cause: BaseException = error.cause
            return cause
        if type(error).__name__ in _LOST:
            return WorkerLostError(f"a worker of Ray is gone ({type(error).__name__})")
        return BackendError(f"Ray cannot run a task: {type(error).__name__}: {first_line(error)}")


def _called(fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    return fn(*args, **kwargs)


@contextlib.contextmanager
def connected(address: str) -> Iterator[tuple[RayExecutor, dict[str, Any], int]]:
    """Connects to a cluster of Ray's.

    Args:
        address: "ray": the one that runs on this machine, or that RAY_ADDRESS names; or
            "ray://host:port", by Ray's client.

    Yields:
        The executor; of each machine what it computes with, or what it raised instead; and how many
        processors there are.

    Raises:
        MissingRuntimeError: Ray is not installed here.
        BackendError: nobody answers, or there are no processors.
    """
    ray = require("ray", extra="ray")
    own = not ray.is_initialized()
    try:
        if own:
            _check_listening(address)
            ray.init(
                "auto" if address == "ray" else address,
                logging_level="ERROR",
                log_to_driver=False,
            )
    except Exception as error:  # of several kinds, some of grpc's
        raise BackendError(
            f"no connection to {address}: {first_line(error)}",
            hint="ray start --head --num-cpus 2 --disable-usage-stats",
        ) from error
    try:
        executor, answers = RayExecutor(ray), _answers(ray)
        if not answers:
            raise BackendError(
                f"{address} has no machine that gives a processor",
                hint="ray start --address HEAD:6379 --num-cpus 2 --disable-usage-stats",
            )
        yield executor, answers, int(ray.cluster_resources().get("CPU", 0))
    finally:
        if own:
            ray.shutdown()


def _check_listening(address: str) -> None:
    """Fails at once where nobody listens: Ray itself tries for many minutes.

    Raises:
        OSError: nobody does.
    """
    known = os.environ.get("RAY_ADDRESS", "") if address == "ray" else address
    host, colon, port = known.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


def _answers(ray: Any) -> dict[str, Any]:
    """What each machine of a cluster computes with, or the exception that it raised instead."""
    strategies = require("ray.util.scheduling_strategies", extra="ray")
    strategy = strategies.NodeAffinitySchedulingStrategy
    asked = ray.remote(num_cpus=0, max_retries=0)(_called)
    references = {
        f"{node['NodeManagerAddress']} {node['NodeID'][:8]}": asked.options(
            scheduling_strategy=strategy(node_id=node["NodeID"], soft=False)
        ).remote(identity, (), {})
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")
    }
    answers: dict[str, Any] = {}
    for name, reference in references.items():
        try:
            answers[name] = ray.get(reference, timeout=_ASK_S)
        except Exception as error:
            answers[name] = getattr(error, "cause", None) or error
    return answers
