"""The command `jobs`: what runs on a device or waits there to be brought back, and taken up."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_scnet.cli import outputs
from edge_scnet.cli.command_help import HelpfulCommand, told
from edge_scnet.cli.guard import guarded
from edge_scnet.cli.options import AsJson
from edge_scnet.cli.printer import say

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from edge_scnet.cli.device_shown import Printed
    from edge_scnet.cli.outputs.jobs import JobShown
    from edge_scnet.devices.device import Device
    from edge_scnet.devices.inputs import Kept
    from edge_scnet.devices.job import Done
    from edge_scnet.devices.jobs import JobThere

_ID = re.compile(r"[0-9a-f]{16}")


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("jobs", cls=HelpfulCommand, **told("jobs"))(guarded(jobs))


def jobs(
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="NAME|ssh://...",
            help="The device: of devices.toml, or ssh://user@host:port.",
        ),
    ],
    attach: Annotated[
        str | None,
        typer.Option(
            "--attach",
            metavar="ID",
            help="Follow this job, and bring back what it makes; in the folder of its command.",
        ),
    ] = None,
    remove: Annotated[
        str | None,
        typer.Option(
            "--remove", metavar="ID", help="Remove this job, which has ended, with what it made."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs on a device that run, or have ended and were not brought back; take one up.

    The command that a job is of takes it up by itself when it is called again; --attach does so
    without its options, in the same folder. The exit code is then that of the job.
    """
    from edge_scnet.devices.device import find_devices

    if attach is not None and remove is not None:
        raise typer.BadParameter("--attach and --remove exclude each other")
    for option, run in (("--attach", attach), ("--remove", remove)):
        if run is not None and not _ID.fullmatch(run):
            raise typer.BadParameter(f"{option} {run!r} is no id of a job: 16 of 0-9 and a-f")
    devices = find_devices(device)
    if len(devices) != 1:
        raise typer.BadParameter(f"--device {device} names {len(devices)} devices; jobs takes one")
    found = asyncio.run(_listed(devices[0], remove or ""))
    if attach is not None:
        _attach(devices[0], attach, found, as_json=as_json)
        return
    if as_json:
        from edge_scnet.cli.outputs.jobs import Jobs

        outputs.show("jobs", Jobs(device=devices[0].name, jobs=tuple(map(_shown, found))))
        return
    if not found:
        say(f"{devices[0].address}: no jobs")
    for job in found:
        _say(job)


async def _listed(device: Device, remove: str) -> tuple[JobThere, ...]:
    from edge_scnet.devices.connection import connected
    from edge_scnet.devices.jobs import jobs_there

    async with connected(device) as link:
        return await jobs_there(link, remove=remove)


def _shown(job: JobThere) -> JobShown:
    from edge_scnet.cli.outputs.jobs import JobShown

    kept = job.kept
    return JobShown(
        id=job.run,
        state=job.state,
        exit_code=job.exit_code,
        since_utc=job.since_utc,
        size_bytes=job.size_bytes,
        owner=kept.owner if kept is not None else None,
        command=kept.words if kept is not None else None,
        folder=kept.cwd if kept is not None else None,
    )


def _say(job: JobThere) -> None:
    words = _shown(job)
    ended = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
    say(
        f"{job.run}  {job.state}{ended}, since {job.since_utc}, {job.size_bytes / 1e6:.1f} MB",
        f"{'':16}  {words.command or '?'} of {words.owner or '?'} in {words.folder or '?'}",
    )


def _check_places(kept: Kept, run: str) -> None:
    """Refuses a job that would write, or remove, outside of the folder where this is called.

    The device says where its files belong, and a device is not to choose folders here.

    Raises:
        DeviceError: names the folder, and where to call it.
    """
    from edge_scnet.core.printable import printable
    from edge_scnet.errors import DeviceError

    here = Path.cwd()
    for name in (*kept.outputs, *(f"/{folder}" for folder in kept.writable)):
        place = Path(kept.cwd, name)
        inside = here in place.parents and ".." not in place.parts
        if not inside or any(part.startswith(".") for part in place.relative_to(here).parts):
            raise DeviceError(
                f"job {run} of {printable(kept.owner)} makes {printable(name)}, which is no folder"
                f" in {here}: files of a job that is taken up go nowhere else",
                hint=f"call it there: cd {shlex.quote(printable(kept.cwd))}; or call the command"
                " that the job is of once more",
            )


def _attach(device: Device, run: str, found: tuple[JobThere, ...], *, as_json: bool) -> None:
    """Takes a job up, and ends with its exit code.

    Raises:
        DeviceError: there is no such job, or it was killed.
    """
    from edge_scnet.cli.device_page import page_here
    from edge_scnet.cli.device_shown import shown_until_it_ends
    from edge_scnet.devices.job import Settings, take_up
    from edge_scnet.devices.jobs import job_of
    from edge_scnet.errors import DeviceError

    job = next((job for job in found if job.run == run), None)
    if job is None or job.state == "lost" or job.kept is None:
        # what was killed has no end to follow to
        why = "has no job" if job is None else f"cannot go on with a {job.state} job"
        raise DeviceError(
            f"{device.address} {why} {run}",
            hint=f"what is there: edge-scnet jobs --device {device.option}",
        )
    _check_places(job.kept, run)
    known, shipment = job_of(job.kept, page_here())

    def work(settings: Settings, shown: Printed) -> Awaitable[Done]:
        return take_up(device, known, shipment, settings=settings, shown=shown)

    code = shown_until_it_ends(work, Settings(attach=run), as_json=as_json).exit_code
    if code:
        raise typer.Exit(code)
