"""`--device`: a command runs on another machine, and its results come back as if it had run here.

The command line is read here by the roles of its parameters: which name files that go over, and
which name files that come back. What a device is and how a job runs there is `devices`'s.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_scnet.cli.command_help import DEVICE
from edge_scnet.cli.device_asked import Asked
from edge_scnet.cli.printer import say, say_json, tell
from edge_scnet.errors import BuildInterrupted, ExitCode

if TYPE_CHECKING:
    from edge_scnet.devices.device import Device
    from edge_scnet.devices.inputs import Job
    from edge_scnet.devices.job import Done

DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME|ssh://...",
        rich_help_panel=DEVICE,
        help=(
            "Run it there, and bring the results back: a device of devices.toml, or"
            " ssh://user@host:port."
        ),
    ),
]
Wheel = Annotated[
    Path | None,
    typer.Option(
        "--wheel",
        metavar="FILE",
        rich_help_panel=DEVICE,
        help="Use this wheel of edge-scnet on the device, which then needs none of its own.",
    ),
]
SetPowerMode = Annotated[
    bool,
    typer.Option(
        "--set-power-mode",
        rich_help_panel=DEVICE,
        help="Set the power_mode of devices.toml for the job, and set it back.",
    ),
]
_ADDED: dict[str, tuple[Any, Any]] = {
    "device": (DeviceOption, None),
    "wheel": (Wheel, None),
    "set_power_mode": (SetPowerMode, False),
}
# Commands that time engines.
_TIMED = ("build", "profile", "compile", "check", "sensitivity")


def with_device(command: Callable[..., None]) -> Callable[..., None]:
    """Adds `--device` and what goes with it to a command."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        context = values.pop("context")
        words, wheel, power = (values.pop(name) for name in _ADDED)
        if words is None:
            if wheel is not None or power:
                raise typer.BadParameter(
                    f"{'--wheel' if wheel else '--set-power-mode'} is for a device: add --device"
                )
            command(**values)
            return
        from edge_scnet.devices.device import find_devices
        from edge_scnet.devices.job import Settings

        project = values.get("project")
        folder = Path() if project is None or project.is_dir() else project.parent
        asked = Asked(
            context=context,
            values=values,
            wheel=wheel,
            settings=Settings(wait=bool(values.get("wait")), set_power_mode=power),
        )
        run_on_devices(find_devices(words, folder=folder), asked)

    own = list(signature.parameters.values())
    last = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, last, default=default, annotation=kind)
        for name, (kind, default) in _ADDED.items()
    ]
    context = inspect.Parameter("context", last, annotation=typer.Context)
    wrapped.__signature__ = signature.replace(parameters=[*own, *added, context])  # type: ignore[attr-defined]
    return wrapped


def run_on_devices(devices: Sequence[Device], asked: Asked) -> None:
    """Runs a command on each device; ends the process with its exit code where that is not 0.

    Raises:
        typer.BadParameter: several devices.
    """
    if len(devices) > 1:
        names = ", ".join(device.name for device in devices)
        raise typer.BadParameter(f"--device names {len(devices)} devices, {names}: name one")
    from edge_scnet.cli.device_files import job_of

    (device,) = devices
    code = run_shown(device, job_of(device, asked, times=asked.command in _TIMED), asked).exit_code
    if code:
        raise typer.Exit(code)


class Printed:
    """Prints what a job prints, each stream on its own."""

    def __init__(self, *, as_json: bool) -> None:
        from edge_scnet.cli.console import Lines

        self.events = Lines()
        self._as_json = as_json
        self._json = bytearray()

    def stdout(self, data: bytes) -> None:
        """Prints lines; JSON is printed when it is whole."""
        if self._as_json:
            self._json += data
        else:
            say(*_lines(data))

    def stderr(self, data: bytes) -> None:
        """Prints lines."""
        for line in _lines(data):
            tell(line)

    def end(self) -> None:
        """Prints the JSON."""
        if self._json:
            say_json(self._json.decode("utf-8", "backslashreplace"))


def _lines(data: bytes) -> Iterator[str]:
    return iter(data.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n"))


def run_shown(device: Device, job: Job, asked: Asked) -> Done:
    """Runs a job and shows what it prints; Ctrl-C asks the device to stop, a second one leaves it.

    Raises:
        typer.Exit: it was left. EdgeError: as `devices.job.run_on`.
    """
    import asyncio

    from edge_scnet.devices.job import run_on

    printed = Printed(as_json=asked.as_json)

    async def run() -> Done:
        # the event is made in the loop that it is used in
        settings = replace(asked.settings, stop=asyncio.Event())
        task = asyncio.ensure_future(run_on(device, job, settings=settings, shown=printed))
        with _interrupts(settings.stop, task):
            return await task

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        tell("left: the job goes on there; the same command takes it up again")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BuildInterrupted:
        raise KeyboardInterrupt from None
    finally:
        printed.end()


class _interrupts:
    """Has Ctrl-C set an event at first, and cancel a task then."""

    def __init__(self, stop: Any, task: Any) -> None:
        self._stop, self._task = stop, task

    def __enter__(self) -> None:
        import asyncio
        import contextlib
        import signal

        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._came)

    def __exit__(self, *_: object) -> None:
        import asyncio
        import contextlib
        import signal

        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    def _came(self) -> None:
        if self._stop.is_set():
            self._task.cancel()
        else:
            tell("interrupted: the device is asked to stop; Ctrl-C again leaves it to go on")
            self._stop.set()
