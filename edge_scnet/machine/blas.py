"""The threads of the linear algebra library that NumPy's wheels bring, OpenBLAS.

Its threads wait for each other in a loop: where other programs use the cores too, a Cholesky factor
took ten times the processor time with two threads. Work that is cut into parts by its caller needs
one thread a part, and sums then do not depend on the number of cores.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator
from typing import Any

# From NumPy 1.26 on, and before.
_PREFIXES = ("scipy_openblas", "openblas")


class _Held:
    """How many callers want one thread at present, and how many there were before the first."""

    lock = threading.Lock()
    callers = 0
    before = 1


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Runs each call of linear algebra in its caller's thread.

    Nothing changes where NumPy uses another library. Calls may be nested or at the same time.
    """
    found = _openblas()
    if found is None:
        yield
        return
    number, set_number = found
    with _Held.lock:
        if not _Held.callers:
            _Held.before = number()
            set_number(1)
        _Held.callers += 1
    try:
        yield
    finally:
        with _Held.lock:
            _Held.callers -= 1
            if not _Held.callers:
                set_number(_Held.before)


def _openblas() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """What reads and what sets the number of threads."""
    from numpy.linalg import _umath_linalg

    try:
        library = ctypes.CDLL(_umath_linalg.__file__)
    except (OSError, AttributeError):
        return None
    for prefix in _PREFIXES:
        with contextlib.suppress(AttributeError):
            return (
                getattr(library, f"{prefix}_get_num_threads64_"),
                getattr(library, f"{prefix}_set_num_threads64_"),
            )
    return None
