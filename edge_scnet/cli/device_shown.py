"""A job on a device, shown as it goes on: what it prints, and what Ctrl-C does to it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from edge_scnet.cli.console import Lines
from edge_scnet.cli.device_asked import Asked
from edge_scnet.cli.printer import say, say_json, tell
from edge_scnet.errors import BuildInterrupted, ExitCode

if TYPE_CHECKING:
    from edge_scnet.devices.device import Device
    from edge_scnet.devices.inputs import Job
    from edge_scnet.devices.job import Done, Settings


class Printed:
    """Prints what a job prints, each stream on its own."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.events = Lines()
        self._as_json = as_json
        self._quiet = quiet
        self._json = bytearray()

    def stdout(self, data: bytes) -> None:
        """Prints lines; JSON is printed when it is whole."""
        if self._quiet:
            self.stderr(data)
        elif self._as_json:
            self._json += data
        else:
            say(*_lines(data))

    def stderr(self, data: bytes) -> None:
        """Prints lines."""
        for line in _lines(data):
            tell(line)

    def restart(self) -> None:
        """Forgets the JSON of a job that was lost: stdout has one object."""
        self._json.clear()

    def end(self) -> None:
        """Prints the JSON."""
        if self._json:
            say_json(self._json.decode("utf-8", "backslashreplace"))


def _lines(data: bytes) -> Iterator[str]:
    return iter(data.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n"))


def run_shown(device: Device, job: Job, asked: Asked) -> Done:
    """Runs a job and shows what it prints, as `shown_until_it_ends`.

    Raises:
        typer.Exit: it was left. EdgeError: as `devices.job.run_on`.
    """
    from edge_scnet.devices.job import run_on

    def work(settings: Settings, shown: Printed) -> Awaitable[Done]:
        return run_on(device, job, settings=settings, shown=shown)

    return shown_until_it_ends(work, asked.settings, as_json=asked.as_json, quiet=asked.quiet)


def shown_until_it_ends(
    work: Callable[[Settings, Printed], Awaitable[Done]],
    settings: Settings,
    *,
    as_json: bool,
    quiet: bool = False,
) -> Done:
    """Shows what a job prints; Ctrl-C asks the device to stop, a second one leaves it.

    Raises:
        typer.Exit: it was left. EdgeError: what the work raises.
    """
    printed = Printed(as_json=as_json, quiet=quiet)

    async def run() -> Done:
        # the event is made in the loop that it is used in
        own = replace(settings, stop=asyncio.Event())
        task = asyncio.ensure_future(work(own, printed))
        with Interrupts(own.stop, task):
            return await task

    try:
        done = asyncio.run(run())
    except asyncio.CancelledError:
        tell("left: the job goes on there; the same command takes it up again")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BuildInterrupted:
        raise KeyboardInterrupt from None
    # behind an error there would be two objects on stdout
    printed.end()
    return done


class Interrupts:
    """Has Ctrl-C set an event at first, and cancel a task then."""

    def __init__(self, stop: Any, task: Any) -> None:
        self._stop, self._task = stop, task

    def __enter__(self) -> None:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._came)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    def _came(self) -> None:
        if self._stop.is_set():
            self._task.cancel()
        else:
            tell("interrupted: the device is asked to stop; Ctrl-C again leaves it to go on")
            self._stop.set()
