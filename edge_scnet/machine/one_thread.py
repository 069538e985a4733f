"""Work that computes in one thread, whatever the machine has.

How a sum is cut into parts may depend on the number of threads, and with it the last digits. Work
that many workers share is done by one thread a task, so that no figure tells how many there were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from edge_scnet.machine.blas import one_blas_thread

_wanted: ContextVar[bool] = ContextVar("one_thread", default=False)


def is_wanted() -> bool:
    """Whether runtimes are to be opened with one thread each."""
    return _wanted.get()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Has graphs that are opened meanwhile, and linear algebra, computed by one thread."""
    token = _wanted.set(True)
    try:
        with one_blas_thread():
            yield
    finally:
        _wanted.reset(token)
