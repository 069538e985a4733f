"""Progress on stderr: bars on a terminal, plain lines elsewhere. stdout is for results."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_scnet.cli import interrupts
from edge_scnet.cli.printer import progress_console, tell
from edge_scnet.core.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_STDOUT, _STDERR = 1, 2  # file descriptors
_NAME_WIDTH = 10
_LINE_EVERY_S = 20
_DRAW_EVERY_S = 0.1


@contextlib.contextmanager
def events() -> Iterator[Lines | Bars]:
    """Shows progress in the way that suits stderr: as bars on a terminal, as lines elsewhere.

    Meanwhile whatever prints, as a user's factory may, prints on stderr: stdout is for results.
    """
    shown = Bars() if sys.stderr.isatty() else Lines()
    with _stdout_to_stderr():
        try:
            yield shown
        finally:
            shown.close()


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Sends what is written to stdout to stderr, of libraries and child processes too."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            kept = os.dup(_STDOUT)
        except OSError:  # it is closed
            yield
            return
        try:
            os.dup2(_STDERR, _STDOUT)
            yield
        finally:
            os.dup2(kept, _STDOUT)
            os.close(kept)


class Lines:
    """Prints a line when a stage begins and one when it ends: for logs and pipes."""

    def __init__(self) -> None:
        self._stage_began = 0.0
        # what is in progress, since when, and when a line was last printed about it
        self._what = ""
        self._began = self._printed = 0.0

    def stage(self, name: str, detail: str) -> None:
        """Prints that a stage begins."""
        interrupts.raise_swallowed()
        self._stage_began = time.perf_counter()
        tell(f"{name:<{_NAME_WIDTH}} {printable(detail)}")

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        """Prints a line now and then, so that a log shows that long work goes on."""
        interrupts.raise_swallowed()
        now = time.perf_counter()
        if what != self._what:
            self._what, self._began, self._printed = what, now, now
        if now - self._printed < _LINE_EVERY_S or share >= 1:
            return
        self._printed = now
        spent = now - self._began
        left = f", {spent * (1 - share) / share:.0f} s left" if share > 0 else ""
        tell(f"{'':<{_NAME_WIDTH}} {what} {100 * share:.0f} %{_rate(count, unit, spent)}{left}")

    def done(self, result: str, *, reused: bool) -> None:
        """Prints what a stage made, and how long it took."""
        seconds = time.perf_counter() - self._stage_began
        took = "unchanged, reused" if reused else f"{seconds:.1f} s"
        tell(f"{'':<{_NAME_WIDTH}} {printable(result)} ({took})")

    def warn(self, message: str) -> None:
        """Prints a warning."""
        tell(f"warning: {printable(message)}")

    def close(self) -> None:
        """Does nothing: lines need no end."""


class Bars:
    """Draws a bar while a stage works, with the time that is left, between the lines of `Lines`.

    Args:
        console: where to draw; None: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or progress_console()
        self._lines = Lines()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._began = self._drawn = 0.0

    def stage(self, name: str, detail: str) -> None:
        """Prints that a stage begins."""
        self.close()
        self._lines.stage(name, detail)

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        """Draws the bar, at most ten times a second."""
        interrupts.raise_swallowed()
        if self._bar is None or what != self._what:
            self._open(what)
        assert self._bar is not None and self._task is not None
        now = time.perf_counter()
        rate = _rate(count, unit, now - self._began).strip(", ")
        self._bar.update(self._task, completed=share, rate=rate)
        if now - self._drawn >= _DRAW_EVERY_S or share >= 1:
            self._drawn = now
            self._bar.refresh()

    def _open(self, what: str) -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self.close()
        # no thread that draws by itself: it would run beside the engines that are timed
        self._bar = Progress(
            TextColumn(f"{'':<{_NAME_WIDTH}} {{task.description}}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]}"),
            console=self._console,
            transient=True,
            auto_refresh=False,
        )
        self._bar.start()
        self._what, self._began = what, time.perf_counter()
        self._task = self._bar.add_task(printable(what), total=1.0, rate="")

    def done(self, result: str, *, reused: bool) -> None:
        """Prints what a stage made, and how long it took."""
        self.close()
        self._lines.done(result, reused=reused)

    def warn(self, message: str) -> None:
        """Prints a warning above the bar."""
        from rich.text import Text

        # the message is a Text too: of strings rich would make markup
        words = Text(printable(message))
        self._console.print(Text("warning:", style="yellow"), words, soft_wrap=True)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def _rate(count: int, unit: str, seconds: float) -> str:
    """What is done a second, as in ", 1,234 images/s"; nothing where nothing is counted."""
    if not count or seconds <= 0:
        return ""
    return f", {count / seconds:,.0f} {unit}/s" if unit == "images" else f", {count:,} {unit}"
