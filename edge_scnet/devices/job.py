"""A job on a device: checked, sent, started, followed, and brought back.

The job is the device's own from its start on: it holds the device's lock, writes what it prints
into files, and goes on where the link or this process ends. Its id is a hash of what it is, so the
same command again finds it: running, or ended and not yet fetched.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import platform
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from edge_scnet.__about__ import __version__
from edge_scnet.core.events import Events
from edge_scnet.core.files import sha256_bytes
from edge_scnet.core.printable import printable
from edge_scnet.devices.bring import Fetched, fetch
from edge_scnet.devices.checks import PYTHON, DeviceFacts, ask, check
from edge_scnet.devices.connection import Link, LinkLost, NotOpened, connected
from edge_scnet.devices.device import Device
from edge_scnet.devices.inputs import Job, Shipment, below_root, layout, shipment_of
from edge_scnet.devices.jobs import no_job
from edge_scnet.devices.run import Result, Running, Seen, Start, running
from edge_scnet.devices.streams import MappedStream
from edge_scnet.devices.transfer import send
from edge_scnet.errors import BuildInterrupted, DeviceError, TargetError

T = TypeVar("T")

# of a terminal, which makes no other job of it
_WIDTH = "COLUMNS"
_PATIENCE_S, _FIRST_PAUSE_S, _LONGEST_PAUSE_S = 120.0, 0.5, 10.0
# of a link that breaks while it is made, as where sshd is too busy
_OPENINGS = 3


class Shown(Protocol):
    """Is handed what a job prints there, as it comes."""

    @property
    def events(self) -> Events:
        """Is told of the job's own steps."""

    def stdout(self, data: bytes) -> None:
        """A part of its stdout."""

    def stderr(self, data: bytes) -> None:
        """A part of its stderr."""

    def restart(self) -> None:
        """The job is lost, and begins anew: what came of it is no part of what it prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a job is run."""

    # for another job on the device to end; otherwise it is an error
    wait: bool = False
    # set the device's power_mode for the job
    set_power_mode: bool = False
    # after a lost link, connect again for so long
    patience_s: float = _PATIENCE_S
    # the id of a job that is there, to be taken up and never started; None: the job's own
    attach: str | None = None
    # set by who wants the job to stop
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a job ended."""

    run: str
    exit_code: int
    # the files that are new here
    files: tuple[Path, ...]
    # all that it made there, among which may be what lay here before
    made: tuple[Path, ...]
    facts: DeviceFacts
    sent_bytes: int
    received_bytes: int
    # links that broke meanwhile
    lost_links: int = 0


class _Followed:
    """What a job prints, and how much of it was shown."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.stdout = MappedStream(shown.stdout)
        self.stderr = MappedStream(shown.stderr)

    def restart(self) -> None:
        """Begins with the first byte again, for a job that is started anew."""
        if self.stdout.count or self.stderr.count:
            self.shown.restart()
        self.stdout = MappedStream(self.shown.stdout)
        self.stderr = MappedStream(self.shown.stderr)

    @property
    def seen(self) -> Seen:
        """How much of it was shown."""
        return Seen(stdout_bytes=self.stdout.count, stderr_bytes=self.stderr.count)


async def run_on(device: Device, job: Job, *, settings: Settings, shown: Shown) -> Done:
    """Runs a job on a device; where the link breaks it is taken up again.

    Raises:
        LinkLost: it stayed broken; the job goes on there. DeviceError and others: as `run_job`.
    """
    # while the files are read the connection is made
    reading = asyncio.ensure_future(asyncio.to_thread(shipment_of, job))
    try:
        return await _run_on(device, job, reading, settings, _Followed(shown))
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def take_up(
    device: Device, job: Job, shipment: Shipment, *, settings: Settings, shown: Shown
) -> Done:
    """Takes up the job of `settings.attach`, as `run_on` does; its client may be another one.

    Raises:
        DeviceError: there is no such job, or as `run_on`.
    """
    known: asyncio.Future[Shipment] = asyncio.get_running_loop().create_future()
    known.set_result(shipment)
    return await _run_on(device, job, known, settings, _Followed(shown))


async def _run_on(
    device: Device,
    job: Job,
    reading: asyncio.Future[Shipment],
    settings: Settings,
    followed: _Followed,
) -> Done:
    """Runs a job, and again after each lost link."""
    lost, broken_since, pause = 0, 0.0, _FIRST_PAUSE_S
    was_open, openings = False, 0
    while True:
        try:
            async with connected(device) as link:
                was_open, broken_since, pause = True, 0.0, _FIRST_PAUSE_S
                done = await _run(link, job, await reading, settings, followed)
                return replace(done, lost_links=lost)
        except LinkLost as error:
            why: DeviceError = error
            lost += 1
        except NotOpened as error:
            openings += 1
            if not was_open and openings == _OPENINGS:
                raise
            why = error
        except DeviceError as error:
            if not was_open or not broken_since:
                raise
            why = error
        now = time.monotonic()
        if not broken_since:
            broken_since = now
            followed.shown.events.warn(f"{why.message}; connecting again")
        if now - broken_since > settings.patience_s or settings.stop.is_set():
            raise LinkLost(why.message, hint="run the same command again: it goes on there")
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


async def run_job(link: Link, job: Job, *, settings: Settings, shown: Shown) -> Done:
    """Runs a job over an open link.

    Raises:
        LinkLost: the connection broke; the job goes on there, and the same call finds it again.
        DeviceError: the device is in use, hangs, lacks what the job needs, or lost the job.
        StorageError: too little space, there or here. MissingRuntimeError: it has no edge-scnet of
            this version. BuildInterrupted: `settings.stop` was set before the job had started.
    """
    shipment = await asyncio.to_thread(shipment_of, job)
    return await _run(link, job, shipment, settings, _Followed(shown))


async def _run(
    link: Link, job: Job, shipment: Shipment, settings: Settings, followed: _Followed
) -> Done:
    device, events = link.device, followed.shown.events
    if settings.set_power_mode and device.power_mode is None:
        raise TargetError(
            f"--set-power-mode: no power_mode is known of {device.name}",
            hint=f"power_mode = 0 in the table [{device.name}] of devices.toml; on the device"
            " nvpmodel -q tells the modes",
        )
    run = settings.attach or run_id(job, shipment, device, settings)
    facts = await _unless_stopped(
        settings, ask(link, run=run, shipment=shipment, wheel=job.wheel is not None)
    )
    start, sent = None, 0
    if facts.state == "none":
        if settings.attach is not None:
            raise no_job(link, run)
        check(link, facts, job, shipment, events)
        events.stage("device", f"{device.address}: {facts.words}")
        sent = await _unless_stopped(settings, send(link, facts, shipment, events))
        # what was printed of one that was lost is none of its output
        followed.restart()
        start = _start(link, job, shipment, facts, run, settings)
    else:
        events.stage("device", f"{device.address}: {facts.words}")
    async with running(link, facts, run, start=start, seen=followed.seen) as there:
        # a stop does not leave this where it is: the job may have begun, and is asked to end below
        words = await there.begun()
        if start is not None:
            events.done(f"job {run} {words}; {sent / 1e6:.1f} MB sent", reused=False)
        else:
            state = "runs there" if facts.state == "running" else "has ended there"
            events.done(f"job {run} {state}: it is taken up", reused=True)
        result = await _follow(there, facts, run, settings, followed)
        fetched = await _brought(there, job, shipment, result, events)
        await there.forget()
    return Done(
        run=run,
        exit_code=result.exit_code,
        files=fetched.new,
        made=fetched.made,
        facts=facts,
        sent_bytes=link.moved.sent_bytes,
        received_bytes=link.moved.received_bytes,
    )


async def _brought(
    there: Running, job: Job, shipment: Shipment, result: Result, events: Events
) -> Fetched:
    """Brings back what a job made, and says so."""
    before = there.link.moved.received_bytes
    # a job that never began, or could not tell what it made, has removed nothing either
    if result.sums is None:
        return Fetched()
    fetched = await fetch(there, job, shipment, result.sums)
    if fetched.new:
        came = (there.link.moved.received_bytes - before) / 1e6
        where = there.link.device.address
        events.stage("fetch", f"{len(fetched.new)} files from {where}, {came:.1f} MB")
    return fetched


def run_id(job: Job, shipment: Shipment, device: Device, settings: Settings) -> str:
    """The id of a job: the same command with the same files of the same user has the same."""
    what = [
        __version__,
        _who(),
        job.argv,
        below_root(job.cwd),
        sorted((name, value) for name, value in job.environment.items() if name != _WIDTH),
        [below_root(path) for path in job.outputs],
        shipment.digest,
        device.python,
        device.power_mode if settings.set_power_mode else None,
    ]
    return sha256_bytes(json.dumps(what).encode())[:16]


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that no table knows
        user = str(os.getuid())
    return f"{user}@{platform.node()}"


async def _unless_stopped(settings: Settings, work: Awaitable[T]) -> T:
    """Awaits what comes before a job's start, and leaves it where it is to stop.

    Raises:
        BuildInterrupted: it is.
    """
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(settings.stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise BuildInterrupted("stopped before the job had started")
    finally:
        for other in (task, stopping):
            other.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _start(
    link: Link, job: Job, shipment: Shipment, facts: DeviceFacts, run: str, settings: Settings
) -> Start:
    """How a job is started."""
    python = link.device.python or PYTHON
    return Start(
        layout=layout(job, shipment, run=run, workdir=facts.workdir, python=python, owner=_who()),
        wait=settings.wait,
        owner=f"{_who()}: {printable(job.words)}"[:500],
        settle=job.times,
        power=str(link.device.power_mode) if settings.set_power_mode else "",
    )


async def _follow(
    there: Running, facts: DeviceFacts, run: str, settings: Settings, followed: _Followed
) -> Result:
    """Hands on what a job prints until it ends; asks it to stop where that is wanted.

    Raises:
        DeviceError: it was killed.
    """

    async def stop() -> None:
        await settings.stop.wait()
        await there.stop(facts.workdir, run)

    root = f"{facts.workdir}/jobs/{run}/root".encode("utf-8", "surrogateescape")
    followed.stdout.root = followed.stderr.root = root
    stopping = asyncio.ensure_future(stop())
    try:
        result = await there.follow(followed.stdout, followed.stderr)
        followed.stdout.end()
        followed.stderr.end()
    finally:
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError, DeviceError):
            await stopping
    if result is None:
        address = there.link.device.address
        raise DeviceError(
            f"{address}: job {run} ended without an exit code: it was killed there, or the"
            " device was switched off",
            hint=f"run the same command again; what ended it: ssh {address} dmesg",
        )
    return result
