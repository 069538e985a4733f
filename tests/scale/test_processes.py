"""Processes as an executor: what they return and raise, and what their death costs."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from concurrent.futures import wait

import pytest

from edge_scnet.scale import processes
from edge_scnet.scale.processes import Processes, WorkerLostError


class _NotSendable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def _raises() -> None:
    raise _NotSendable(1, 2)


def test_results_and_errors_come_back_and_processes_are_reused() -> None:
    with Processes(2) as pool:
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()
        with pytest.raises(RuntimeError, match="_NotSendable: 1 and 2"):
            pool.submit(_raises).result()
        numbers = {pool.submit(os.getpid).result() for _ in range(6)}
        assert len(numbers) <= 2 and os.getpid() not in numbers
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(os.getpid)


def test_a_process_that_dies_takes_one_task_with_it() -> None:
    with Processes(2) as pool:
        killed = pool.submit(os.kill, pool.submit(os.getpid).result(), 0)
        killed.result()
        sleeping = [pool.submit(time.sleep, 0.5) for _ in range(2)]
        while len(pool.process_ids) < 2:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(pool.process_ids[0], signal.SIGKILL)
        wait(sleeping)
        errors = [future.exception() for future in sleeping]
        (lost,) = [error for error in errors if error is not None]
        assert isinstance(lost, WorkerLostError) and "SIGKILL" in str(lost) and lost.seconds > 0
        assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_what_cannot_be_sent_is_the_callers_error_and_the_process_goes_on() -> None:
    with Processes(1) as pool:
        with pytest.raises((AttributeError, TypeError), match=r"pickle|local object"):
            pool.submit(lambda: 1).result()
        assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_a_function_that_the_process_cannot_import_is_an_error_and_no_death() -> None:
    def of_main() -> int:
        return 1

    of_main.__module__, of_main.__qualname__ = "__main__", "of_main"
    sys.modules["__main__"].of_main = of_main
    with Processes(1) as pool:
        with pytest.raises(AttributeError, match="of_main"):
            pool.submit(of_main).result()
        assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_a_process_that_cannot_be_started_is_a_lost_worker_and_no_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with Processes(1) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(processes, "start_python", refused)
            with pytest.raises(WorkerLostError, match=r"cannot be started: .*unavailable"):
                pool.submit(os.getpid).result(timeout=10)
        assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_shutdown_ends_what_is_on_its_way() -> None:
    pool = Processes(1)
    running, waiting = pool.submit(time.sleep, 60), pool.submit(time.sleep, 60)
    while not pool.process_ids:
        time.sleep(0.01)
    began = time.monotonic()
    pool.shutdown(cancel_futures=True)
    assert time.monotonic() - began < 30 and waiting.cancelled()
    assert isinstance(running.exception(), WorkerLostError)
