"""What a device tells of itself before a job, and what is refused then."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from edge_scnet.__about__ import __version__
from edge_scnet.core.events import Events
from edge_scnet.core.printable import printable
from edge_scnet.devices.connection import Link, Output
from edge_scnet.devices.inputs import Job, Shipment
from edge_scnet.errors import DeviceError, MissingRuntimeError, StorageError

# certificates, and the dates of files and reports
_CLOCK_WARNED_S, _CLOCK_REFUSED_S = 30, 300
_SPARE_BYTES = 64 << 20
PYTHON = "python3"

State = Literal["none", "running", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """A device as it is found."""

    workdir: str
    # how far its clock is ahead of this machine's
    clock_ahead_s: float
    free_bytes: int
    machine: str
    # of its device tree; None: it has none
    model: str | None = None
    # programs that a job needs and that are not there
    missing: tuple[str, ...] = ()
    # None: there is no such Python
    python: str | None = None
    # the version of edge-scnet that this Python has; None: none
    tool: str | None = None
    # runtimes with their versions
    has: tuple[str, ...] = ()
    has_trtexec: bool = False
    # of the job that is asked for
    state: State = "none"
    # bytes of each file that it lacks which are there already, by sha256
    lacks: tuple[tuple[str, int], ...] = ()
    # bytes of each job that has ended and was not brought back, by its id
    unfetched: tuple[tuple[str, int], ...] = ()

    @property
    def words(self) -> str:
        """What it is, in a line."""
        runtimes = f", {', '.join(self.has)}" if self.has else ""
        tool = f", edge-scnet {self.tool}" if self.tool else ""
        return printable(f"{self.model or self.machine}{tool}{runtimes}")


async def ask(
    link: Link, *, run: str = "", shipment: Shipment | None = None, wheel: bool = False
) -> DeviceFacts:
    """Asks a device what it is, in one go.

    Args:
        run: a job's id, whose state is told.
        shipment: what that job needs.
        wheel: the shipment's own edge-scnet is meant.

    Raises:
        StorageError: its work folder cannot be made. LinkLost, DeviceError: as `Link.run`.
    """
    device = link.device
    asked_at = time.time()
    output = await link.run(
        "probe.sh",
        device.workdir or "",
        device.python or PYTHON,
        run,
        (shipment.wheel or "") if shipment is not None and wheel else "",
        stdin="".join(f"{sha}\n" for sha in (shipment.blobs if shipment else ())).encode(),
    )
    if output.code:
        raise fault_of(link, output, "its work folder cannot be made")
    found = _values(output)
    single = {name: values[-1] for name, values in found.items()}
    # it read its clock about half way between question and answer
    now = (asked_at + time.time()) / 2
    try:
        return DeviceFacts(
            workdir=single["workdir"],
            clock_ahead_s=int(single["now"]) - now,
            free_bytes=int(single["free_kib"]) << 10,
            machine=single.get("machine", "?"),
            model=single.get("model"),
            missing=tuple(found.get("missing", ())),
            python=single.get("python"),
            tool=single.get("tool"),
            has=tuple(found.get("has", ())),
            has_trtexec="trtexec" in found,
            state=_state(single.get("state")),
            lacks=tuple(_counted(line) for line in found.get("lacks", ())),
            unfetched=tuple(
                (run, size_kib << 10) for run, size_kib in map(_counted, found.get("unfetched", ()))
            ),
        )
    except (KeyError, ValueError) as error:
        raise DeviceError(
            f"{device.address} does not answer as a Linux machine does:"
            f" {printable(output.stdout[:200].decode('utf-8', 'replace'))}",
            hint=f"a shell that prints nothing at login is needed there: ssh {device.address} true",
        ) from error


def _values(output: Output) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in output.lines:
        name, _, value = line.partition("=")
        found.setdefault(name, []).append(value)
    return found


def _state(text: str | None) -> State:
    return "running" if text == "running" else "ended" if text == "ended" else "none"


def _counted(line: str) -> tuple[str, int]:
    name, _, size = line.partition(" ")
    return name, int(size or 0)


def fault_of(link: Link, output: Output, what: str) -> StorageError | DeviceError:
    """The error of a script that failed, in the words of the device."""
    words = output.stderr.decode("utf-8", "replace").strip().splitlines()
    why = printable(words[-1][:300]) if words else f"exit code {output.code}"
    where = f"{link.device.address}: {what}: {why}"
    if "No space left" in why or "quota" in why.lower():
        return StorageError(where, hint=f"free space there: ssh {link.device.address} df -h")
    if "Permission denied" in why or "Read-only" in why:
        return StorageError(where, hint="workdir = in devices.toml names another folder there")
    return DeviceError(where)


def check(link: Link, facts: DeviceFacts, job: Job, shipment: Shipment, events: Events) -> None:
    """Refuses a device on which a job would fail, and warns of what is doubtful.

    Raises:
        DeviceError: programs are missing, or its clock is off. StorageError: too little space.
        MissingRuntimeError: it has no edge-scnet of this version.
    """
    address = link.device.address
    if facts.missing:
        raise DeviceError(
            f"{address} lacks {', '.join(facts.missing)}",
            hint="on the device: apt-get install coreutils util-linux tar findutils",
        )
    _check_clock(address, facts.clock_ahead_s, events)
    there = dict(facts.lacks)
    missing = sum(shipment.blobs[sha].size_bytes - size for sha, size in there.items())
    unpacked = sum(blob.size_bytes for blob in shipment.blobs.values())
    needed = max(missing, 0) + unpacked + _SPARE_BYTES
    if facts.free_bytes < needed:
        raise StorageError(
            f"{address}: {facts.free_bytes / 1e6:,.0f} MB are free at {printable(facts.workdir)},"
            f" the job needs {needed / 1e6:,.0f}",
            hint=_space_hint(link, facts),
        )
    if job.is_tool:
        _check_tool(link, facts, job)


def _space_hint(link: Link, facts: DeviceFacts) -> str:
    device = link.device
    if facts.unfetched:
        held = sum(size for _, size in facts.unfetched) / 1e6
        count = len(facts.unfetched)
        jobs = "1 job there that nobody came for holds"
        if count > 1:
            jobs = f"{count} jobs there that nobody came for hold"
        return (
            f"{jobs} {held:,.0f} MB: edge-scnet jobs --device {device.option}, with --attach ID or"
            " --remove ID"
        )
    return f"free space there: ssh {device.address} df -h; or name another workdir in devices.toml"


def _check_clock(address: str, ahead_s: float, events: Events) -> None:
    if abs(ahead_s) < _CLOCK_WARNED_S:
        return
    words = f"{abs(ahead_s):,.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    if abs(ahead_s) < _CLOCK_REFUSED_S:
        events.warn(f"{address}: its clock is {words}")
        return
    raise DeviceError(
        f"{address}: its clock is {words}; at most {_CLOCK_REFUSED_S} s are allowed: reports and"
        " files would have wrong dates",
        hint="on the device: sudo timedatectl set-ntp true; or sudo date -s with the right time",
    )


def _check_tool(link: Link, facts: DeviceFacts, job: Job) -> None:
    device = link.device
    python = device.python or PYTHON
    if facts.python is None:
        raise MissingRuntimeError(
            f"{device.address} has no {python}",
            hint=f'python = "/path/to/python" in the table [{device.name}] of devices.toml',
        )
    if job.wheel is not None:
        _check_wheel(job.wheel.name)
        return
    push = "push one: --wheel FILE (made by: pip wheel --no-deps -w dist .)"
    if facts.tool is None:
        raise MissingRuntimeError(
            f"{device.address}: {python} (Python {facts.python}) has no edge-scnet",
            hint=f"{push}; or name the Python that has it: python = in devices.toml",
        )
    if facts.tool != __version__:
        raise MissingRuntimeError(
            f"{device.address} has edge-scnet {facts.tool}, this machine {__version__}: their"
            " reports cannot be held against each other",
            hint=push,
        )


def _check_wheel(name: str) -> None:
    version = name.split("-")[1]
    if version != __version__:
        raise MissingRuntimeError(
            f"--wheel {name} is of version {version}, this machine has {__version__}",
            hint="make it in this machine's checkout: pip wheel --no-deps -w dist .",
        )
