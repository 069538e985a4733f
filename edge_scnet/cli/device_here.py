"""The command of one device of a fleet, run on this machine: its board has no edge-scnet."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_scnet.cli.device_asked import Asked
from edge_scnet.cli.device_files import HERE, parts_of
from edge_scnet.config.project import DEVICE


class _Shown(Protocol):
    def stdout(self, data: bytes) -> None:
        """A part of its stdout."""

    def stderr(self, data: bytes) -> None:
        """A part of its stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedHere:
    """How a command ended on this machine."""

    exit_code: int
    # as of a job; its files lay here before
    made: tuple[Path, ...] = ()


async def run_here(asked: Asked, *, stop: asyncio.Event, shown: _Shown) -> EndedHere:
    """Runs a command in a process of its own, as a device would; a stop interrupts it."""
    words = [
        word
        for part in parts_of(asked)
        if part.parameter not in HERE
        for word in (*part.option, part.front + part.value)
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_scnet", asked.command, *words),
        env={**os.environ, DEVICE: asked.device},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Ctrl-C of the terminal comes by `stop` alone
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    stopping = asyncio.ensure_future(_interrupt(process, stop))
    try:
        await asyncio.gather(
            _pump(process.stdout, shown.stdout), _pump(process.stderr, shown.stderr)
        )
        return EndedHere(exit_code=await process.wait())
    finally:
        stopping.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _interrupt(process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
    await stop.wait()
    process.send_signal(signal.SIGINT)


async def _pump(reader: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    while block := await reader.read(1 << 16):
        take(block)
