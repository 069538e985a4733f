"""`--device a,b` and `--device tag:NAME`: a command on several devices at once.

Each device has folders of its own, `build/@orin-1` and `baselines/@orin-1`, so that no result takes
another's place. The command line of each is the one that was given, with these folders in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge_scnet.cli.device_asked import is_said
from edge_scnet.cli.device_board import bundle_of, is_judged_here, refuse_unused
from edge_scnet.cli.device_files import job_of, parts_of
from edge_scnet.cli.device_here import run_here
from edge_scnet.cli.device_shown import Interrupts
from edge_scnet.cli.fleet import end_fleet
from edge_scnet.cli.fleet_progress import fleet_events
from edge_scnet.cli.fleet_rows import ROWS, judged_row
from edge_scnet.cli.options import command_line
from edge_scnet.config.project import device_folder
from edge_scnet.config.target import load_target
from edge_scnet.core.optional import require
from edge_scnet.devices.bundles import RESULTS, bundle_job
from edge_scnet.devices.job import run_on
from edge_scnet.errors import ArtifactError, BuildInterrupted, ExitCode, TargetError
from edge_scnet.pipeline.board import profile_results
from edge_scnet.pipeline.fleet import Member, ended_row, run_fleet
from edge_scnet.pipeline.fleet_folders import folder_for, lay_out
from edge_scnet.report.fleet import FleetRow

if TYPE_CHECKING:
    from edge_scnet.cli.device_asked import Asked
    from edge_scnet.core.events import Events
    from edge_scnet.devices.device import Device
    from edge_scnet.devices.inputs import Job

COMMANDS = ("build", "profile", "check", "doctor")
_SSH_PORT = 22
# Files that each device writes its own of: check.xml becomes check@orin-1.xml.
_WRITTEN = ("junit", "markdown", "gitlab")


def run_on_fleet(devices: Sequence[Device], asked: Asked, *, times: bool) -> None:
    """Runs a command on all devices at once; ends the process with the worst exit code.

    Raises:
        typer.BadParameter: not a command for a fleet, or what several devices cannot take.
        EdgeError: what the command line names cannot be sent.
    """
    _check(devices, asked)
    if asked.command != "doctor":
        # the page's, before anything is measured
        require("jinja2", extra="report")
    members = {device.name: _member(device) for device in devices}
    known = {device.name: device for device in devices}

    async def run() -> tuple[FleetRow, ...]:
        stop = asyncio.Event()

        async def work(member: Member, events: Events) -> Sequence[FleetRow]:
            return await _work(known[member.name], member, tasks[member.name], stop, events)

        task = asyncio.ensure_future(run_fleet(list(members.values()), work, shown=shown))
        with Interrupts(stop, task):
            return await task

    with fleet_events(list(members)) as shown:
        tasks = {
            device.name: _task(device, asked, shown.of(device.name), times) for device in devices
        }
        try:
            rows = asyncio.run(run())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
    end_fleet(rows, as_json=asked.as_json)


def _check(devices: Sequence[Device], asked: Asked) -> None:
    """Refuses what several devices cannot take."""
    if asked.command not in COMMANDS:
        raise typer.BadParameter(
            f"--device names {', '.join(device.name for device in devices)}: {asked.command} takes"
            f" one device; several are for {', '.join(COMMANDS)}"
        )
    folders: dict[Path, str] = {}
    for device in devices:
        folder = device_folder("", device.name)
        if other := folders.get(folder):
            raise TargetError(
                f"the devices {other} and {device.name} would share the folder {folder}",
                hint="give one of them another name in devices.toml",
            )
        folders[folder] = device.name
    paths: Sequence[Path] = asked.values.get("paths") or ()
    if asked.command == "profile" and (len(paths) != 1 or not paths[0].is_dir()):
        raise typer.BadParameter(
            "several devices profile one build folder: edge-scnet profile build/MODEL/TARGET"
            " --device a,b"
        )
    if asked.command == "build":
        _refuse_bundles(devices, asked)
    baseline = asked.values.get("baseline")
    if baseline is not None and baseline.suffix == ".json":
        raise typer.BadParameter(
            f"--baseline {baseline}: each device has its own; name the folder that holds"
            f" @{devices[0].name}/{baseline.name}"
        )


def _refuse_bundles(devices: Sequence[Device], asked: Asked) -> None:
    """Refuses boards that build from a bundle: it is made once, here, for all of them."""
    if asked.values.get("project") is not None or asked.wheel is not None:
        return
    for device in devices:
        named = None if is_said(asked, "target") else device.target
        target = named or asked.values["target"]
        if device.python is None and load_target(target).board is not None:
            raise typer.BadParameter(
                f"{device.name} builds its plans from a bundle, which is made here once: build for"
                f" {target} without --device; then edge-scnet profile build/MODEL/TARGET --device"
                f" {','.join(other.name for other in devices)}"
            )


def _member(device: Device) -> Member:
    return Member(
        name=device.name,
        host=device.address,
        machine=f"{device.host}:{device.port or _SSH_PORT}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What one device is to do."""

    asked: Asked
    # None: its command runs on this machine
    job: Job | None
    # whose build.sh it runs; None: it runs edge-scnet
    bundle: Path | None = None


def _task(device: Device, asked: Asked, events: Events, times: bool) -> _Task:
    """What one device is to do, by its own command line."""
    own = _asked_of(device, asked, events)
    if is_judged_here(device, asked):
        return _Task(asked=own, job=None)
    bundle = bundle_of(device, own)
    if bundle is None:
        return _Task(asked=own, job=job_of(device, own, times=times))
    if not bundle.is_file():
        raise ArtifactError(f"no such file: {bundle}", hint="edge-scnet build --target jetson")
    refuse_unused(own)
    job = bundle_job(bundle, builds=own.values.get("builds") or 1)
    return _Task(asked=own, job=job, bundle=bundle)


def _asked_of(device: Device, asked: Asked, events: Events) -> Asked:
    """The command line of one device; of `profile` its copy of the build folder is made."""
    values, words = dict(asked.values), list[str]()
    roles = set()
    for part in parts_of(asked):
        if part.parameter is None and part.value == "--json":
            continue
        roles.add(part.parameter)
        own = _own(part.parameter, part.value, device, values)
        words += [*part.option, part.front + own]
    if asked.command == "build" and not roles & {"out", "project"}:
        values["out"] = device_folder("build", device.name)
        words.insert(0, f"--out={values['out']}")
    if asked.command in ("check", "doctor"):
        words.insert(0, "--json")
    if asked.command == "profile":
        (build,) = asked.values["paths"]
        lay_out(build, values["paths"][0], command="edge-scnet profile", events=events)
    return replace(asked, values=values, own_words=tuple(words), device=device.name)


def _own(parameter: str | None, value: str, device: Device, values: dict[str, object]) -> str:
    """A word of the command line as the device's own; `values` is told, too."""
    name = device.name
    if parameter in ("paths", "reports"):
        own = folder_for(Path(value), name)
        given = values[parameter]
        assert isinstance(given, list)
        values[parameter] = [own if path == Path(value) else path for path in given]
        return str(own)
    if parameter in ("out", "baseline"):
        values[parameter] = device_folder(value, name)
        return str(values[parameter])
    if parameter in _WRITTEN:
        path = Path(value)
        values[parameter] = path.with_name(f"{path.stem}{device_folder('', name)}{path.suffix}")
        return str(values[parameter])
    return value


class _Collected:
    """Keeps what a job prints, and shows its progress."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.printed = bytearray()
        self.told: list[str] = []

    def stdout(self, data: bytes) -> None:
        """Keeps what it prints."""
        self.printed += data

    def restart(self) -> None:
        """Forgets what a job printed that was lost."""
        self.printed.clear()
        self.told.clear()

    def stderr(self, data: bytes) -> None:
        """Keeps what it tells, and shows it as progress: a stage, or how far it is."""
        for line in data.decode("utf-8", "backslashreplace").splitlines():
            self.told.append(line)
            stage, _, detail = line.partition(" ")
            if line.startswith("warning: "):
                self.events.warn(detail)
            elif stage.isidentifier() and detail:
                self.events.stage(stage, detail.strip())
            elif line.strip():
                self.events.progress(line.strip(), 0.5)


async def _work(
    device: Device, member: Member, task: _Task, stop: asyncio.Event, events: Events
) -> Sequence[FleetRow]:
    """Runs the job on a device, and reads what came back."""
    own, shown = task.asked, _Collected(events)
    if task.job is None:
        ended = await run_here(own, stop=stop, shown=shown)
        return ROWS[own.command](member, own, ended, shown.printed, shown.told)
    try:
        settings = replace(own.settings, stop=stop)
        done = await run_on(device, task.job, settings=settings, shown=shown)
    except BuildInterrupted as error:
        return [ended_row(member, ExitCode.INTERRUPTED, str(error), None)]
    if task.bundle is not None and not done.exit_code:
        return [await asyncio.to_thread(_judged, member, own, task.bundle, events)]
    return ROWS[own.command](member, own, done, shown.printed, shown.told)


def _judged(member: Member, own: Asked, bundle: Path, events: Events) -> FleetRow:
    """What build.sh measured there, judged here."""
    result = profile_results(
        bundle.parent / RESULTS,
        max_drop_pp=own.values.get("max_drop"),
        wait=own.settings.wait,
        events=events,
        command=command_line(),
    )
    assert result.report is not None
    return judged_row(member, result.folder, result.report, result.exit_code, None)
