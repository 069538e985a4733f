"""A script on a device that is talked with: what it prints comes in turn, and requests go to it.

What a stream holds is split by marks and by numbers of bytes, since what a job prints may be
anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Take = Callable[[bytes], object]

_BLOCK_BYTES, _LONGEST_LINE_BYTES = 1 << 16, 1 << 20


class Ended(Exception):
    """The script ended where it was to say more.

    Args:
        code: its exit code.
        stderr: what it told at last.
    """

    def __init__(self, code: int, stderr: bytes) -> None:
        super().__init__(code)
        self.code, self.stderr = code, stderr


class _Moved(Protocol):
    sent_bytes: int
    received_bytes: int


class _Link(Protocol):
    """What a script is talked with over."""

    @property
    def moved(self) -> _Moved:
        """Bytes that went over it."""

    @property
    def error(self) -> type[Exception]:
        """What the library of SSH raises."""

    async def guarded(self, work: Awaitable[T]) -> T:
        """Awaits what uses the connection; its end becomes an error."""

    def lost(self, why: str) -> Exception:
        """The error of a connection that broke."""


class Source:
    """One of a script's streams."""

    def __init__(self, link: _Link, reader: Any) -> None:
        self._link, self._reader = link, reader
        self._held = b""

    async def until(self, mark: bytes, take: Take) -> None:
        """Hands on what comes in front of a mark, as it comes, and reads the mark.

        Raises:
            EOFError: the stream ended without one; all of it was handed on.
        """
        while (place := self._held.find(mark)) < 0:
            kept = len(self._held) - _begun(self._held, mark)
            ready, self._held = self._held[:kept], self._held[kept:]
            if ready:
                take(ready)
            try:
                await self._more()
            except EOFError:
                take(self._held)
                raise
        ready, self._held = self._held[:place], self._held[place + len(mark) :]
        if ready:
            take(ready)

    async def line(self) -> bytes:
        """A line, without its end.

        Raises:
            EOFError: the stream ended.
        """
        while b"\n" not in self._held:
            if len(self._held) > _LONGEST_LINE_BYTES:
                raise EOFError
            await self._more()
        line, _, self._held = self._held.partition(b"\n")
        return line

    async def exactly(self, count: int, take: Take) -> None:
        """Hands on so many bytes.

        Raises:
            EOFError: the stream ended before.
        """
        while count:
            if not self._held:
                await self._more()
            part, self._held = self._held[:count], self._held[count:]
            count -= len(part)
            take(part)

    async def rest(self) -> bytes:
        """What comes until the stream ends."""
        try:
            while len(self._held) < _LONGEST_LINE_BYTES:
                await self._more()
        except EOFError:
            pass
        return self._held

    async def _more(self) -> None:
        block: bytes = await self._link.guarded(self._reader.read(_BLOCK_BYTES))
        if not block:
            raise EOFError
        self._link.moved.received_bytes += len(block)
        self._held += block


def _begun(held: bytes, mark: bytes) -> int:
    """How many bytes at the end may be the begin of a mark."""
    for size in range(min(len(mark), len(held)), 0, -1):
        if held.endswith(mark[:size]):
            return size
    return 0


class Talk:
    """A script that runs, with its streams."""

    def __init__(self, link: _Link, process: Any) -> None:
        self._link, self._process = link, process
        self.stdout = Source(link, process.stdout)
        self.stderr = Source(link, process.stderr)

    async def send(self, data: bytes) -> None:
        """Writes to its stdin."""
        self._link.moved.sent_bytes += len(data)
        # where it ended, or its connection, what is read next tells why
        with contextlib.suppress(OSError, self._link.error):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def ended(self) -> int:
        """Its exit code, once it has ended.

        Raises:
            LinkLost: it ended with its connection.
        """
        done = await self._link.guarded(self._process.wait())
        if done.exit_status is None and done.exit_signal is None:
            raise self._link.lost("the connection ended")
        return -1 if done.exit_status is None else int(done.exit_status)

    async def expect(self, work: Awaitable[T]) -> T:
        """Awaits what is read.

        Raises:
            Ended: the script ended instead. LinkLost: the connection broke.
        """
        try:
            return await work
        except EOFError:
            stderr = await self.stderr.rest()
            raise Ended(await self.ended(), stderr) from None

    async def both(self, mark: bytes, on_stdout: Take, on_stderr: Take) -> None:
        """Hands on what comes of both streams in front of a mark in each.

        Raises:
            Ended, LinkLost: as `expect`.
        """
        pumps = [
            asyncio.ensure_future(self.stdout.until(mark, on_stdout)),
            asyncio.ensure_future(self.stderr.until(mark, on_stderr)),
        ]
        try:
            await self.expect(asyncio.gather(*pumps))
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
