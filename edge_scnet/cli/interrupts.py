"""Ctrl-C that a library swallowed: remembered, and raised again at the next sign of progress.

An interrupt in the middle of a native module's import comes as an ImportError, which an optional
import takes for "not installed".
"""

from __future__ import annotations

import signal
from types import FrameType

_came = False


def heed() -> None:
    """Remembers Ctrl-C from now on, beside raising it; where somebody else handles it already,
    nothing changes.
    """

    def handler(_: int, __: FrameType | None) -> None:
        global _came
        _came = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)


def raise_swallowed() -> None:
    """Raises KeyboardInterrupt where one has come."""
    if _came:
        raise KeyboardInterrupt
