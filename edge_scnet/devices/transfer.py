"""Files to a device over SFTP, by their sha256, resumed where they broke off.

A file has another name there until its hash fits.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_scnet.core.events import Events
from edge_scnet.core.optional import require
from edge_scnet.devices.checks import DeviceFacts, fault_of
from edge_scnet.devices.connection import Link
from edge_scnet.devices.inputs import Shipment
from edge_scnet.errors import DataError, StorageError, first_line

_BLOCK_BYTES, _AT_ONCE, _FILES_AT_ONCE = 32 << 10, 32, 8
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
    """Sends files at once, each from the byte on that is not there."""
    done: dict[str, int] = {}
    total = sum(shipment.blobs[sha].size_bytes for sha, _ in lacks)
    sftp = await link.sftp()
    at_once = asyncio.Semaphore(_FILES_AT_ONCE)

    async def one(sha: str, there: int, scratch: Path) -> None:
        blob = shipment.blobs[sha]
        begin = there if there <= blob.size_bytes else 0

        def progress(count: int) -> None:
            done[sha] = count
            events.progress("sent", min(sum(done.values()) / max(total, 1), 1.0))

        async with at_once:
            with blob.open(scratch) as source:
                source.seek(begin)
                name = f"{workdir}/blobs/{sha}.part".encode("utf-8", "surrogateescape")
                done[sha] = await _write(link, sftp, name, source, begin, progress)

    with tempfile.TemporaryDirectory() as scratch:
        files = [asyncio.ensure_future(one(sha, there, Path(scratch))) for sha, there in lacks]
        try:
            await asyncio.gather(*files)
        finally:
            for file in files:
                file.cancel()
            await asyncio.gather(*files, return_exceptions=True)
    return sum(done.values())


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
