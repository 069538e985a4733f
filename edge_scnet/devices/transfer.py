"""Files over SFTP: to a device by their sha256, resumed where they broke off, and back whole.

On both sides a file has another name until its hash fits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_scnet.core.events import Events, Silent
from edge_scnet.core.files import make_folder, remove_files, sha256_file, write_atomic
from edge_scnet.core.folder_lock import locked
from edge_scnet.core.foreign import control_character
from edge_scnet.core.manifest import MANIFEST
from edge_scnet.core.optional import require
from edge_scnet.core.printable import printable
from edge_scnet.devices.checks import DeviceFacts, fault_of
from edge_scnet.devices.connection import Link
from edge_scnet.devices.inputs import Job, Shipment, below_root, is_build
from edge_scnet.errors import DataError, DeviceError, StorageError, first_line

_BLOCK_BYTES, _AT_ONCE = 32 << 10, 32
_SHA = re.compile(r"[0-9a-f]{64}")
_COMMIT_S = 600.0
_TRIES = 3


async def send(link: Link, facts: DeviceFacts, shipment: Shipment, events: Events) -> int:
    """Sends what a device lacks; returns how many bytes.

    Raises:
        LinkLost: the connection broke; what came over is kept. StorageError: its disk is full.
        DataError: a file changed meanwhile.
    """
    sent, lacks = 0, facts.lacks
    for again in range(_TRIES):
        if not lacks:
            break
        # two clients that send one file at the same time disturb each other
        await asyncio.sleep(again * random.random())
        sent += await _send_all(link, facts.workdir, lacks, shipment, events)
        others = await _commit(link, facts.workdir, [sha for sha, _ in lacks])
        if others:
            events.warn(
                f"{len(others)} of {len(lacks)} files came to {link.device.address} with another"
                " hash, and were removed there"
            )
        # from their beginning
        lacks = tuple((sha, 0) for sha in others)
    if lacks:
        raise DataError(
            f"{len(lacks)} files come to {link.device.address} with another hash",
            hint="where a file is being written here, wait until that has ended; run it again",
        )
    return sent


async def _send_all(
    link: Link,
    workdir: str,
    lacks: Sequence[tuple[str, int]],
    shipment: Shipment,
    events: Events,
) -> int:
    """Sends files, each from the byte on that is not there."""
    sent = 0
    total = sum(shipment.blobs[sha].size_bytes for sha, _ in lacks)
    sftp = await link.sftp()
    with tempfile.TemporaryDirectory() as scratch:
        for sha, there in lacks:
            blob = shipment.blobs[sha]
            begin = there if there <= blob.size_bytes else 0
            with blob.open(Path(scratch)) as source:
                source.seek(begin)
                name = f"{workdir}/blobs/{sha}.part".encode("utf-8", "surrogateescape")

                def progress(count: int, before: int = sent) -> None:
                    events.progress("sent", min((before + count) / max(total, 1), 1.0))

                sent += await _write(link, sftp, name, source, begin, progress)
    return sent


async def _commit(link: Link, workdir: str, hashes: Sequence[str]) -> list[str]:
    """Has the device name what was sent; returns what came with another hash."""
    stdin = "".join(f"{sha}\n" for sha in hashes).encode()
    output = await link.run("commit.sh", workdir, stdin=stdin, timeout_s=_COMMIT_S)
    if output.code:
        raise fault_of(link, output, "what was sent cannot be kept")
    return [line.partition("=")[2] for line in output.lines if line.startswith("other=")]


async def _write(
    link: Link, sftp: Any, name: bytes, source: Any, begin: int, progress: Callable[[int], None]
) -> int:
    """Writes a file from an offset on, several blocks on their way at once."""
    asyncssh = require("asyncssh", extra="ssh")
    flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | (0 if begin else asyncssh.FXF_TRUNC)
    waiting: set[asyncio.Task[Any]] = set()
    offset = begin

    async def work() -> None:
        nonlocal offset, waiting
        # blocks are cut here: of requests that asyncssh cuts, those that fail are told on stderr
        file = await sftp.open(name, flags, encoding=None, block_size=0)
        try:
            while block := source.read(_BLOCK_BYTES):
                if len(waiting) >= _AT_ONCE:
                    ended, waiting = await asyncio.wait(
                        waiting, return_when=asyncio.FIRST_COMPLETED
                    )
                    faults = [fault for fault in (task.exception() for task in ended) if fault]
                    if faults:
                        raise faults[0]
                waiting.add(asyncio.ensure_future(file.write(block, offset)))
                offset += len(block)
                link.moved.sent_bytes += len(block)
                progress(offset - begin)
            if waiting:
                await asyncio.gather(*waiting)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            with contextlib.suppress(asyncssh.Error, OSError):
                await file.close()

    try:
        await link.guarded(work())
    except asyncssh.SFTPError as error:
        raise StorageError(
            f"{link.device.address}: a file cannot be written: {first_line(error)}",
            hint=f"free space there: ssh {link.device.address} df -h",
        ) from error
    return offset - begin


def _made(sums: Iterable[str], address: str, job: Job) -> dict[Path, str]:
    """The sha256 of each file that a job made, by where it belongs on this machine.

    Raises:
        DeviceError: a name that leads elsewhere.
    """
    outputs = [Path("/", below_root(path)) for path in job.outputs]
    made = {}
    for line in sums:
        # as sha256sum writes names with a line break
        escaped = line.startswith("\\")
        sha, _, name = line.removeprefix("\\").partition("  ")
        if escaped:
            name = re.sub(r"\\(.)", _unescaped, name)
        path = Path("/", name.removeprefix("./"))
        inside = any(path == output or output in path.parents for output in outputs)
        if not _SHA.fullmatch(sha) or ".." in path.parts or not inside or control_character(name):
            raise DeviceError(f"{address}: {printable(name)!r} is no file that the job was to make")
        made[path] = sha
    return made


def _unescaped(found: re.Match[str]) -> str:
    return {"n": "\n", "r": "\r"}.get(found[1], found[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The files that came from a job."""

    # those that were not here, or were others
    new: tuple[Path, ...] = ()
    # all that it made, the new ones among them
    made: tuple[Path, ...] = ()


async def fetch(
    link: Link, facts: DeviceFacts, job: Job, shipment: Shipment, sums: Sequence[str], run: str
) -> Fetched:
    """Brings back what a job made, all of it or nothing.

    Raises:
        LinkLost: the connection broke. DeviceError: a file came with another hash.
        StorageError: it cannot be written here, or another run is in the folder.
    """
    root = f"{facts.workdir}/jobs/{run}/root"
    made = _made(sums, link.device.address, job)
    changed = {path: sha for path, sha in made.items() if _hash_here(path) != sha}
    gone = _gone(shipment, made)
    if not changed and not gone:
        return Fetched(made=tuple(made))
    sftp = await link.sftp()
    # a bundle's plans come into a build folder without its manifest
    parents = {path.parent for path in (*made, *gone)}
    folders = sorted(folder for folder in parents if folder / MANIFEST in made or is_build(folder))
    with contextlib.ExitStack() as locks:
        for folder in folders:
            locks.enter_context(locked(folder, command=job.words, wait=False, events=Silent()))
        with contextlib.ExitStack() as files:
            # the last that is entered gets its name first: the manifest after what it lists
            for path in sorted(changed, key=lambda path: path.name != MANIFEST):
                make_folder(path.parent)
                temporary = files.enter_context(write_atomic(path))
                name = f"{root}/{below_root(path)}".encode("utf-8", "surrogateescape")
                await _read(link, sftp, name, temporary, changed[path])
        remove_files(gone)
    return Fetched(new=tuple(sorted(changed)), made=tuple(made))


def _hash_here(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except OSError:
        return None


def _gone(shipment: Shipment, made: Mapping[Path, str]) -> list[Path]:
    """The files of a build folder that went over, that the job removed there, and that are still
    the same here.
    """
    writable = {Path("/", name) for name in shipment.writable}
    sent = {Path("/", name): sha for name, sha in shipment.files.items()}
    return [
        path
        for path, sha in sent.items()
        if path not in made and path.parent in writable and _hash_here(path) == sha
    ]


async def _read(link: Link, sftp: Any, name: bytes, into: Path, sha: str) -> None:
    """Reads a file, and holds it to its hash."""
    asyncssh = require("asyncssh", extra="ssh")

    async def work() -> None:
        with into.open("wb") as copy:
            async with sftp.open(name, "rb", encoding=None) as file:
                size = (await file.stat()).size or 0

                async def block(offset: int) -> bytes:
                    data: bytes = await file.read(min(_BLOCK_BYTES, size - offset), offset)
                    return data

                step = _BLOCK_BYTES * _AT_ONCE
                for begin in range(0, size, step):
                    offsets = range(begin, min(begin + step, size), _BLOCK_BYTES)
                    for data in await asyncio.gather(*map(block, offsets)):
                        copy.write(data)
                        link.moved.received_bytes += len(data)

    try:
        await link.guarded(work())
    except asyncssh.SFTPError as error:
        raise DeviceError(
            f"{link.device.address}: a file that the job made cannot be read: {first_line(error)}",
            hint="run the same command again",
        ) from error
    except OSError as error:
        raise StorageError(
            f"cannot write {into.parent}: {error.strerror or error}", hint=f"df -h {into.parent}"
        ) from error
    if sha256_file(into) != sha:
        raise DeviceError(
            f"{link.device.address}: {printable(os.fsdecode(name).rpartition('/')[2])} came with"
            " another hash than it has there",
            hint="run the same command again: it is fetched anew",
        )
