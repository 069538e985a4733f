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
_lock = threading.Lock()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Runs each call of linear algebra in its caller's thread.

    Nothing changes where NumPy uses another library.
    """
    found = _openblas()
    if found is None:
        yield
        return
    number, set_number = found
    with _lock:
        before = number()
        set_number(1)
        try:
            yield
        finally:
            set_number(before)


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
