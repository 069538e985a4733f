"""`--device`: a command runs on another machine, and its results come back as if it had run here.

The command line is read here by the roles of its parameters: which name files that go over, and
which name files that come back. What a device is and how a job runs there is `devices`'s.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_scnet.cli.command_help import DEVICE
from edge_scnet.cli.device_asked import Asked
from edge_scnet.cli.printer import tell

if TYPE_CHECKING:
    from edge_scnet.devices.device import Device

DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME|ssh://...",
        rich_help_panel=DEVICE,
        help=(
            "Run it there, and bring the results back: a device of devices.toml, or"
            " ssh://user@host:port. Several, by commas or tag:NAME, work at once, each with folders"
            " of its own."
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
        from edge_scnet.config.project import file_of
        from edge_scnet.devices.device import find_devices
        from edge_scnet.devices.job import Settings

        project = values.get("project")
        folder = Path() if project is None else file_of(project).parent
        asked = Asked(
            context=context,
            values=values,
            wheel=wheel,
            settings=Settings(wait=bool(values.get("wait")), set_power_mode=power),
        )
        devices = find_devices(words, folder=folder)
        if is_fleet(words):
            from edge_scnet.cli.device_fleet import run_on_fleet

            run_on_fleet(devices, asked, times=asked.command in _TIMED)
            return
        from edge_scnet.cli.device_board import build_for, is_judged_here

        if is_judged_here(devices[0], asked):
            tell(f"{devices[0].name} has no edge-scnet: its reports are held to the baseline here")
            command(**values)
        elif not build_for(devices[0], asked, command):
            run_on_device(devices[0], asked)

    own = list(signature.parameters.values())
    last = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, last, default=default, annotation=kind)
        for name, (kind, default) in _ADDED.items()
    ]
    context = inspect.Parameter("context", last, annotation=typer.Context)
    # which typer reads; of a function it is no known attribute
    wrapped.__signature__ = signature.replace(parameters=[*own, *added, context])  # type: ignore[attr-defined]
    return wrapped


def is_fleet(words: str) -> bool:
    """Whether `--device` asks for a fleet: a list or a tag, though it may come to one device."""
    return "," in words or words.strip().startswith("tag:")


def run_on_device(device: Device, asked: Asked) -> None:
    """Runs a command on a device; ends the process with its exit code where that is not 0."""
    from edge_scnet.cli.device_board import bundle_of, run_bundle
    from edge_scnet.cli.device_files import job_of
    from edge_scnet.cli.device_shown import run_shown

    bundle = bundle_of(device, asked)
    if bundle is not None:
        run_bundle(device, bundle, asked)
        return
    code = run_shown(device, job_of(device, asked, times=asked.command in _TIMED), asked).exit_code
    if code:
        raise typer.Exit(code)
