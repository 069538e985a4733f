"""How long a fleet takes against its slowest device alone.

    python tests/benchmarks/fleet.py [--devices 10] [--seconds 5] [--out FILE]

Devices are OpenSSH's servers on the loopback, each with a home of its own. Their jobs sleep, each a
tenth of a second longer than the one before, so that what is measured is the tool: connections,
locks, starts, what is followed and what comes back. First each device alone, then all at once.

Exit code 1 when all at once take over 1.3 times as long as the slowest alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from envelope import begin

from edge_scnet.core.events import Silent
from edge_scnet.devices.inputs import Job
from edge_scnet.devices.job import Settings, run_on
from tests.devices.conftest import Board, _board, know, new_key

MOST_OVER_SLOWEST = 1.3


class _Nowhere:
    """Shows nothing of a job."""

    events = Silent()

    def stdout(self, data: bytes) -> None:
        """Passes it over."""

    def stderr(self, data: bytes) -> None:
        """Passes it over."""

    def restart(self) -> None:
        """Passes it over."""


async def slept(board: Board, seconds: float, cwd: Path) -> float:
    """The seconds that a job takes which sleeps on a device."""
    job = Job(argv=("sleep", f"{seconds:g}"), is_tool=False, words="sleeps", cwd=cwd)
    began = time.perf_counter()
    await run_on(board.device, job, settings=Settings(), shown=_Nowhere())
    return time.perf_counter() - began


def measured(boards: list[Board], seconds: float, cwd: Path) -> dict[str, Any]:
    """Each device alone, and all at once."""
    asked = [seconds + 0.1 * number for number in range(len(boards))]
    alone = [
        asyncio.run(slept(board, each, cwd)) for board, each in zip(boards, asked, strict=True)
    ]

    async def together() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(slept(b, each, cwd) for b, each in zip(boards, asked, strict=True)))
        return time.perf_counter() - began

    took = asyncio.run(together())
    return {
        "devices": len(boards),
        "asked_s": asked,
        "alone_s": [round(each, 2) for each in alone],
        "together_s": round(took, 2),
        "over_slowest": round(took / max(alone), 3),
    }


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if sshd is None:
        sys.exit("sshd is not installed: apt-get install openssh-server")
    begun = begin()
    boards: list[Board] = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        home = root / "client"
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        new_key(home / ".ssh" / "id_ed25519")
        os.environ["HOME"] = str(home)
        os.environ.pop("SSH_AUTH_SOCK", None)
        try:
            for number in range(options.devices):
                boards.append(_board(sshd, root / f"board{number}", home, {}))
                know(boards[-1], home)
            figures = measured(boards, options.seconds, root)
        finally:
            for board in boards:
                board.stop()
    begun.write(figures, options.out)
    sys.exit(0 if figures["over_slowest"] <= MOST_OVER_SLOWEST else 1)


if __name__ == "__main__":
    main()
