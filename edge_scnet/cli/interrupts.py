"""Ctrl-C that a library swallowed, raised again at the next sign of progress.

An interrupt in the middle of a native module's import comes as an ImportError, which an optional
import takes for "not installed".
"""

from __future__ import annotations

import signal
from types import FrameType


class _Handler:
    """Raises an interrupt, and remembers that it came."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt


def heed() -> None:
    """Remembers interrupts from now on; where another handler is set, nothing changes."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Handler())


def raise_swallowed() -> None:
    """Raises KeyboardInterrupt where an interrupt came before."""
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, _Handler) and handler.came:
        raise KeyboardInterrupt
