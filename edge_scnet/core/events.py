"""What the stages tell whoever shows it: a terminal (`console.py`), or nobody."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with what is being done, the share of it that is done (0 to 1), and where things are
    counted how many are done.
    """

    def __call__(self, what: str, share: float, count: int = 0, unit: str = "") -> None: ...


class Events(Protocol):
    """What the pipeline tells whoever shows it. All methods return at once."""

    def stage(self, name: str, detail: str) -> None: ...

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None: ...

    def done(self, result: str, *, reused: bool) -> None: ...

    def warn(self, message: str) -> None: ...


class Silent:
    """No display: the Python API's default. Warnings go to `warnings`."""

    def stage(self, name: str, detail: str) -> None: ...

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None: ...

    def done(self, result: str, *, reused: bool) -> None: ...

    def warn(self, message: str) -> None:
        import warnings

        warnings.warn(message, stacklevel=4)
