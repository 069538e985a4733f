"""The progress of the stages, told to whoever shows it.

A terminal does (`cli/console.py`), or nobody.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is called as work goes on."""

    def __call__(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        """Tells how far the work is.

        Args:
            what: what is being done.
            share: how much of it is done, from 0 to 1.
            count: how many are done, where they are counted.
            unit: what is counted.
        """


class Events(Protocol):
    """Is told what the pipeline does. All methods return at once."""

    def stage(self, name: str, detail: str) -> None:
        """A stage begins."""

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        """The stage goes on, as `Progress`."""

    def done(self, result: str, *, reused: bool) -> None:
        """The stage ends; its result may be that of an earlier run."""

    def warn(self, message: str) -> None:
        """Something is doubtful, and no error."""


class Silent:
    """Shows nothing, which is the Python API's default; warnings go to `warnings`."""

    def stage(self, name: str, detail: str) -> None: ...

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None: ...

    def done(self, result: str, *, reused: bool) -> None: ...

    def warn(self, message: str) -> None:
        import warnings

        warnings.warn(message, stacklevel=2)
