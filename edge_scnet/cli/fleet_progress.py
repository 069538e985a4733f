"""The progress of several devices at once: one line each, on stderr.

On a terminal the lines are drawn anew as work goes on; in a log each begins with the device's name.
It may be called from any thread.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edge_scnet.cli.printer import progress_console, tell
from edge_scnet.core.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from edge_scnet.core.events import Events

_DRAW_EVERY_S = 0.1


@contextlib.contextmanager
def fleet_events(names: Sequence[str]) -> Iterator[FleetLines | FleetBars]:
    """Shows the progress of devices in the way that suits stderr."""
    shown = FleetBars(names) if sys.stderr.isatty() else FleetLines(names)
    try:
        yield shown
    finally:
        shown.close()


class FleetLines:
    """Prints a line when a device begins a stage and one when the stage ends."""

    def __init__(self, names: Sequence[str]) -> None:
        self._width = max(map(len, map(printable, names)), default=0)

    def of(self, name: str) -> Events:
        """Returns what a device's work is told to."""
        return _DeviceLines(f"{printable(name):<{self._width}}")

    def ended(self, name: str, words: str) -> None:
        """Prints what a device came to."""
        tell(f"{printable(name):<{self._width}} {printable(words)}")

    def close(self) -> None:
        """Does nothing: lines need no end."""


class _DeviceLines:
    """The lines of one device. Each is one write, so that those of several do not mix."""

    def __init__(self, start: str) -> None:
        self._start = start
        self._began = time.perf_counter()

    def stage(self, name: str, detail: str) -> None:
        self._began = time.perf_counter()
        tell(f"{self._start} {name}: {printable(detail)}")

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        """Prints nothing: a log of many devices would be full of it."""

    def done(self, result: str, *, reused: bool) -> None:
        took = "unchanged, reused" if reused else f"{time.perf_counter() - self._began:.1f} s"
        tell(f"{self._start} {printable(result)} ({took})")

    def warn(self, message: str) -> None:
        tell(f"warning: {self._start.rstrip()}: {printable(message)}")


class FleetBars:
    """Draws a line for each device: its name, what it does, how far that is, and since when.

    Args:
        console: where to draw; None: stderr.
    """

    def __init__(self, names: Sequence[str], console: Console | None = None) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = console or progress_console()
        self._lock = threading.Lock()
        self._drawn = 0.0
        self._bars: Progress = Progress(
            TextColumn("{task.fields[device]}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            # no thread that draws by itself: it would run beside what is timed on this machine
            auto_refresh=False,
        )
        self._tasks: dict[str, TaskID] = {
            name: self._bars.add_task("waiting", total=1.0, device=printable(name))
            for name in names
        }
        self._bars.start()

    def of(self, name: str) -> Events:
        """Returns what a device's work is told to."""
        return _DeviceBar(self, name)

    def ended(self, name: str, words: str) -> None:
        """Fills a device's bar, and says what it came to."""
        with self._lock:
            self._bars.update(self._tasks[name], completed=1.0, description=printable(words))
            self._bars.stop_task(self._tasks[name])
            self._bars.refresh()

    def show(self, name: str, words: str, share: float) -> None:
        """Draws a device's line, all of them at most ten times a second."""
        with self._lock:
            self._bars.update(self._tasks[name], completed=share, description=printable(words))
            now = time.perf_counter()
            if now - self._drawn >= _DRAW_EVERY_S:
                self._drawn = now
                self._bars.refresh()

    def warn(self, name: str, message: str) -> None:
        """Prints a warning above the lines."""
        from rich.text import Text

        words = Text(f"{printable(name)}: {printable(message)}")
        with self._lock:
            self._console.print(Text("warning:", style="yellow"), words, soft_wrap=True)

    def close(self) -> None:
        """Leaves the lines as they are, and draws no more."""
        self._bars.stop()


class _DeviceBar:
    """The line of one device."""

    def __init__(self, bars: FleetBars, name: str) -> None:
        self._bars, self._name, self._stage = bars, name, ""

    def stage(self, name: str, detail: str) -> None:
        self._stage = name
        self._bars.show(self._name, f"{name}: {detail}", 0.0)

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        words = f"{self._stage}: {what}" if self._stage else what
        self._bars.show(self._name, words, share)

    def done(self, result: str, *, reused: bool) -> None:
        words = f"{self._stage}: {result}" if self._stage else result
        self._bars.show(self._name, words, 1.0)

    def warn(self, message: str) -> None:
        self._bars.warn(self._name, message)
