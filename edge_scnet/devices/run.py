"""A job that was started or taken up: followed to its end, and asked for its files.

One script there does all of it, so that what is one after the other costs no round trips.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_scnet.core.files import sha256_bytes, sha256_file
from edge_scnet.core.printable import printable
from edge_scnet.devices.checks import DeviceFacts, fault_of
from edge_scnet.devices.connection import Link, Output
from edge_scnet.devices.talk import Ended, Talk
from edge_scnet.errors import DeviceError, StorageError

_START_S = 600.0
_ESCAPE = "surrogateescape"

Take = Callable[[bytes], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a job is started."""

    # the tar of its folder
    layout: bytes
    # for another job on the device to end; otherwise it is an error
    wait: bool
    # who it is of, for others
    owner: str
    # the device is to be cool
    settle: bool
    # the mode to set; empty: as it is
    power: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How many bytes are known of what a job printed."""

    stdout_bytes: int = 0
    stderr_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a job ended."""

    exit_code: int
    # sha256 and name of each file that it made, as sha256sum writes them; None: it never began, or
    # could not tell
    sums: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file of a job that is to come."""

    # from the job's root
    name: str
    sha256: str
    into: Path
    # a text that the device has too, which this one may be told by
    base: bytes | None = None


class Running:
    """A job that is talked with."""

    def __init__(self, link: Link, talk: Talk, mark: bytes) -> None:
        self.link = link
        self._talk, self._mark = talk, mark

    async def begun(self) -> str:
        """What state it is in: that it runs, or what it waits for.

        Raises:
            DeviceError: the device is in use, or it did not start. StorageError: the disk is full.
        """
        address = self.link.device.address
        try:
            line = await self.link.guarded(
                self._talk.expect(self._talk.stdout.line()),
                timeout_s=_START_S,
                what="it did not start the job",
            )
        except Ended as end:
            output = Output(code=end.code, stdout=b"", stderr=end.stderr)
            if output.code:
                raise fault_of(self.link, output, "the job cannot be laid out") from None
            line = b""
        state, _, owner = line.decode("utf-8", "replace").partition(" ")
        owner = printable(owner) or "another job"
        if state == "busy":
            raise DeviceError(
                f"{address} is in use by {owner}",
                hint="wait until that has ended: add --wait",
            )
        if state == "waiting":
            return f"waits for {owner}"
        if state != "running":
            raise DeviceError(
                f"{address}: the job did not start within 10 s",
                hint=f"look at its load: ssh {address} uptime",
            )
        return "runs there"

    async def follow(self, on_stdout: Take, on_stderr: Take) -> Result | None:
        """Hands on what it prints until it ends; returns how; None: it was killed, or is gone."""
        talk, mark = self._talk, self._mark

        def pass_over(data: bytes) -> None:
            """What tar and others told of the start."""

        try:
            await talk.expect(talk.stderr.until(mark, pass_over))
            await talk.both(mark, on_stdout, on_stderr)
            found: list[tuple[str, str]] = []
            while (line := await talk.expect(talk.stdout.line())) != mark.rstrip():
                name, _, value = line.decode("utf-8", _ESCAPE).partition("=")
                found.append((name, value))
        except Ended:
            return None
        codes = [value for name, value in found if name == "exit" and value.isdecimal()]
        if not codes:
            return None
        told = any(name == "collected" for name, _ in found)
        sums = tuple(value for name, value in found if name == "sum")
        return Result(
            exit_code=int(codes[0]),
            sums=sums if told else None,
        )

    async def stop(self, workdir: str, run: str) -> None:
        """Asks it to stop, as Ctrl-C does."""
        await self.link.run("stop.sh", workdir, run)

    async def bring(self, wanted: Sequence[Wanted]) -> None:
        """Writes files, and holds each to its hash.

        Raises:
            DeviceError: one is gone, or came with another hash. StorageError: it cannot be written.
        """
        again = [item for item in await self._asked(wanted) if item.base is not None]
        if again:
            # told by another one it did not come right
            whole = [Wanted(name=item.name, sha256=item.sha256, into=item.into) for item in again]
            await self._asked(whole)

    async def forget(self) -> None:
        """Has its folder removed."""
        await self._talk.send(b"forget\n")
        await self._talk.ended()

    async def _asked(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Asks for files at once, and writes them as they come; returns those that differ."""
        lines = []
        for item in wanted:
            if item.base is not None:
                lines.append(f"base {sha256_bytes(item.base)}\n")
            # as printf reads it with %b
            name = item.name.replace("\\", "\\\\").replace("\n", "\\n")
            lines.append(f"file {name}\n")
        asking = asyncio.ensure_future(self._talk.send("".join(lines).encode("utf-8", _ESCAPE)))
        try:
            return [item for item in wanted if not await self._came(item)]
        except Ended:
            raise DeviceError(
                f"{self.link.device.address}: what the job made cannot be read",
                hint="run the same command again",
            ) from None
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking

    async def _came(self, item: Wanted) -> bool:
        """Writes the file that comes next; returns whether it is right.

        Raises:
            DeviceError: it is gone, or came whole with another hash.
        """
        talk, address = self._talk, self.link.device.address
        shown = printable(os.fsdecode(item.name).rpartition("/")[2])
        form, _, size = (
            (await talk.expect(talk.stdout.line())).decode("ascii", "replace").partition(" ")
        )
        if not size.isdecimal():
            raise DeviceError(
                f"{address}: a file that the job made cannot be read: {shown}",
                hint="run the same command again",
            )
        try:
            with item.into.open("wb") as copy:
                if form == "whole":
                    await talk.expect(talk.stdout.exactly(int(size), copy.write))
                else:
                    told = bytearray()
                    await talk.expect(talk.stdout.exactly(int(size), told.extend))
                    copy.write(rebuilt(item.base or b"", bytes(told)))
        except OSError as error:
            raise StorageError(
                f"cannot write {item.into.parent}: {error.strerror or error}",
                hint=f"df -h {item.into.parent}",
            ) from error
        if sha256_file(item.into) == item.sha256:
            return True
        if form == "whole":
            raise DeviceError(
                f"{address}: {shown} came with another hash than it has there",
                hint="run the same command again: it is fetched anew",
            )
        return False


def rebuilt(base: bytes, told: bytes) -> bytes:
    """A text from what run.sh tells of it: lines of another one by their numbers, and its own.

    Of what is not of that form something comes out whose hash does not fit.
    """
    known, made = base.split(b"\n"), list[bytes]()
    for line in told.split(b"\n")[:-1]:
        if line.startswith(b"+"):
            made.append(line[1:])
            continue
        first, _, count = line[1:].partition(b" ")
        if first.isdigit() and count.isdigit():
            begin = int(first) - 1
            made += known[begin : begin + int(count)]
    return b"".join(line + b"\n" for line in made)


@contextlib.asynccontextmanager
async def running(
    link: Link, facts: DeviceFacts, run: str, *, start: Start | None, seen: Seen
) -> AsyncIterator[Running]:
    """Starts a job, or takes up the one that is there, and talks with it until the block ends.

    Raises:
        LinkLost: the connection broke.
    """
    mark = os.urandom(16).hex()
    words = [facts.workdir, run, mark, str(seen.stdout_bytes), str(seen.stderr_bytes)]
    if start is None:
        words.append("0")
    else:
        words += [
            str(len(start.layout)),
            "wait" if start.wait else "refuse",
            start.owner,
            "settle" if start.settle else "",
            start.power,
        ]
    async with link.talk("run.sh", *words) as talk:
        # the script may have to wait for another start, which its state is waited for with
        sending = asyncio.ensure_future(talk.send(start.layout if start is not None else b""))
        try:
            yield Running(link, talk, f"{mark}\n".encode())
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
