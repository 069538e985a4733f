"""A limit of time for what could wait for ever."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the context once the time is over, also while a file is opened."""

    def end(number: int, frame: object) -> None:
        raise TimeoutError(f"over {seconds} s")

    earlier = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
