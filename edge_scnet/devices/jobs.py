"""The jobs that are on a device: those that run, and those that nobody has come for yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_scnet.core.json_records import convert, loads
from edge_scnet.core.printable import printable
from edge_scnet.devices.checks import fault_of
from edge_scnet.devices.connection import Link
from edge_scnet.devices.inputs import Drawn, Job, Kept, Shipment
from edge_scnet.errors import DeviceError

JobState = Literal["running", "waiting", "ended", "lost"]
_STATES: dict[str, JobState] = {
    "running": "running",
    "waiting": "waiting",
    "ended": "ended",
    "lost": "lost",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobThere:
    """A job on a device."""

    run: str
    # lost: it was killed, or the device was switched off meanwhile
    state: JobState
    # None: it has not ended
    exit_code: int | None
    since_utc: str
    # on the device's disk
    size_bytes: int
    # whose, and what for; None: of another version
    kept: Kept | None = None


async def jobs_there(link: Link, *, remove: str = "") -> tuple[JobThere, ...]:
    """The jobs on a device.

    Args:
        remove: the id of one that is removed first, with what it made.

    Raises:
        DeviceError: that one still runs, is not there, or the device does not answer.
    """
    output = await link.run("jobs.sh", link.device.workdir or "", remove)
    address = link.device.address
    if remove and output.code == 3:
        raise DeviceError(
            f"{address}: job {remove} still runs",
            hint=f"take it up, and stop it by Ctrl-C: edge-scnet jobs --device {link.device.option}"
            f" --attach {remove}",
        )
    if output.code:
        raise fault_of(link, output, "its jobs cannot be listed")
    lines = [line.partition("=") for line in output.lines]
    if remove and ("removed", "=", remove) not in lines:
        raise no_job(link, remove)
    return tuple(_jobs([(name, value) for name, _, value in lines]))


def no_job(link: Link, run: str) -> DeviceError:
    """The error of a job that is not on a device."""
    return DeviceError(
        f"{link.device.address} has no job {printable(run)}",
        hint=f"what is there: edge-scnet jobs --device {link.device.option}",
    )


def _jobs(lines: list[tuple[str, str]]) -> Iterator[JobThere]:
    for place, (name, value) in enumerate(lines):
        if name != "job":
            continue
        run, state, code, since, used = (value.split(" ") + [""] * 5)[:5]
        follows = lines[place + 1] if place + 1 < len(lines) else ("", "")
        yield JobThere(
            run=printable(run),
            state=_STATES.get(state, "lost"),
            exit_code=int(code) if code.isdecimal() else None,
            since_utc=printable(since),
            size_bytes=int(used) << 10 if used.isdecimal() else 0,
            kept=_kept(follows[1]) if follows[0] == "about" else None,
        )


def _kept(text: str) -> Kept | None:
    try:
        return convert(Kept, loads(text.encode("utf-8", "surrogateescape")))
    except ValueError:
        return None


def job_of(kept: Kept, drawn: Drawn | None) -> tuple[Job, Shipment]:
    """What is needed of a job to take it up, and bring back what it makes.

    Args:
        drawn: what is made here of what comes back, where the job leaves that to its client.
    """
    job = Job(
        argv=(),
        words=kept.words,
        cwd=Path(kept.cwd),
        outputs=tuple(map(Path, kept.outputs)),
        drawn=drawn if kept.is_drawn else None,
    )
    shipment = Shipment(blobs={}, files=kept.files, folders={}, writable=kept.writable, wheel=None)
    return job, shipment
