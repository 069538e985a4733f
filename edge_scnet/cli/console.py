"""Progress on stderr: bars on a terminal, plain lines elsewhere. stdout is for results."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_scnet.cli import interrupts

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_NAME_WIDTH = 10
_LINE_EVERY_S, _DRAW_EVERY_S = 20, 0.1


class Lines:
    """One line when a stage begins and one when it ends; nothing that moves. For logs and pipes."""

    def __init__(self) -> None:
        self._started = self._began = self._told = 0.0
        self._what = ""

    def stage(self, name: str, detail: str) -> None:
        interrupts.raise_swallowed()
        self._started = time.perf_counter()
        print(f"{name:<{_NAME_WIDTH}} {detail}", file=sys.stderr, flush=True)

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        """A line now and then, so that a log shows that long work goes on."""
        interrupts.raise_swallowed()
        now = time.perf_counter()
        if what != self._what:
            self._what, self._began, self._told = what, now, now
        if now - self._told < _LINE_EVERY_S or share >= 1:
            return
        self._told = now
        spent = now - self._began
        left = f", {spent * (1 - share) / share:.0f} s left" if share > 0 else ""
        print(
            f"{'':<{_NAME_WIDTH}} {what} {100 * share:.0f} %{_rate(count, unit, spent)}{left}",
            file=sys.stderr,
            flush=True,
        )

    def done(self, result: str, *, reused: bool) -> None:
        took = "unchanged, reused" if reused else f"{time.perf_counter() - self._started:.1f} s"
        print(f"{'':<{_NAME_WIDTH}} {result} ({took})", file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        print(f"warning: {message}", file=sys.stderr, flush=True)

    def close(self) -> None: ...


class Bars:
    """A bar while a stage runs, with the time that is left; a stage closes as with `Lines`."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._lines = Lines()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._what, self._began, self._drawn = "", 0.0, 0.0

    def stage(self, name: str, detail: str) -> None:
        self.close()
        self._lines.stage(name, detail)

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        interrupts.raise_swallowed()
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        if self._bar is None or what != self._what:
            self.close()
            columns = (
                TextColumn(f"{'':<{_NAME_WIDTH}} {{task.description}}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            # no thread that draws by itself: it would run beside the engines that are timed
            self._bar = Progress(
                *columns, console=self._console, transient=True, auto_refresh=False
            )
            self._bar.start()
            self._what, self._task = what, self._bar.add_task(what, total=1.0, rate="")
            self._began = time.perf_counter()
        assert self._task is not None
        now = time.perf_counter()
        self._bar.update(
            self._task, completed=share, rate=_rate(count, unit, now - self._began).strip(", ")
        )
        if now - self._drawn >= _DRAW_EVERY_S or share >= 1:
            self._drawn = now
            self._bar.refresh()

    def done(self, result: str, *, reused: bool) -> None:
        self.close()
        self._lines.done(result, reused=reused)

    def warn(self, message: str) -> None:
        from rich.text import Text

        # messages quote file names, and brackets in them are markup to rich
        self._console.print(Text("warning:", style="yellow"), Text(message), soft_wrap=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def _rate(count: int, unit: str, seconds: float) -> str:
    """As in ", 1,234 images/s"; nothing where nothing is counted."""
    if not count or seconds <= 0:
        return ""
    return f", {count / seconds:,.0f} {unit}/s" if unit == "images" else f", {count:,} {unit}"


@contextlib.contextmanager
def events() -> Iterator[Lines | Bars]:
    """What suits stderr: bars on a terminal, lines elsewhere."""
    shown = Bars() if sys.stderr.isatty() else Lines()
    try:
        yield shown
    finally:
        shown.close()
