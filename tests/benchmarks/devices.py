"""What `--device` adds to a command, and how much goes over a link.

    python tests/benchmarks/devices.py BUILD [--delay 0.02] [--runs 5] [--builds] [--out FILE]

BUILD is a build folder for `cpu`. A board is OpenSSH's server on the loopback behind a proxy that
delays each direction by so many seconds. Overhead: `profile --device` of 1 MB, whose command on the
board is a program that sleeps for SLEEP_S; what the call takes beyond that is the overhead, start
of both Pythons included, once with all to be sent and then with all known there. A round trip is
counted where the client sends after it got something; some of them overlap. With --builds the
bundled model is built there twice, and the bytes of both directions are counted, SSH's own
included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from envelope import begin

from tests.devices.conftest import Board, _board, know, new_key
from tests.helpers.tcp_proxy import TcpProxy

SLEEP_S = 3.0
ROOT = Path(__file__).parents[2]
_SENT = ("manifest.json", "model.xml", "model.bin")
_STUB = """#!/bin/sh
[ "$2 $3" != "edge_scnet profile" ] || exec sleep {seconds}
exec "{python}" "$@"
"""


def edge(*arguments: str, cwd: Path, home: Path) -> float:
    """Runs edge-scnet, and returns how long it took in seconds."""
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "edge_scnet", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode not in (0, 10, 11, 13):
        raise SystemExit(done.stderr)
    return took


def overheads(
    build: Path, board: Board, proxy: TcpProxy, url: str, *, work: Path, runs: int
) -> dict[str, Any]:
    """What a call takes beyond the command itself: the first with all to be sent."""
    folder = work / "project" / "cpu"
    folder.mkdir(parents=True)
    for name in _SENT:
        shutil.copyfile(build / name, folder / name)
    python = board.home.parent / "bin" / "python3"
    kept = python.read_text()
    python.write_text(_STUB.format(seconds=SLEEP_S, python=sys.executable))
    seconds, round_trips = [], []
    for _ in range(runs):
        before = proxy.round_trips
        took = edge("profile", "cpu", "--device", url, cwd=work / "project", home=work / "client")
        seconds.append(took - SLEEP_S)
        round_trips.append(proxy.round_trips - before)
    python.write_text(kept)
    return {
        "folder_bytes": sum((folder / name).stat().st_size for name in _SENT),
        "first_overhead_s": round(seconds[0], 2),
        "overheads_s": [round(value, 2) for value in seconds[1:]],
        "median_overhead_s": round(statistics.median(seconds[1:]), 2),
        "first_round_trips": round_trips[0],
        "round_trips": round_trips[1:],
    }


def bytes_of_builds(proxy: TcpProxy, url: str, *, work: Path) -> dict[str, Any]:
    """How many bytes two builds move, of which the second changes nothing but the times."""
    moved = []
    for _ in range(2):
        before = proxy.moved_bytes
        edge("build", "--seconds", "0.5", "--device", url, cwd=work, home=work / "client")
        moved.append(proxy.moved_bytes - before)
    return {"first_build_bytes": moved[0], "second_build_bytes": moved[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds, each direction")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--builds", action="store_true", help="count the bytes of two builds")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    begun = begin()
    sshd = shutil.which("sshd", path="/usr/sbin:" + os.environ["PATH"])
    if sshd is None:
        raise SystemExit("sshd is not installed: apt-get install openssh-server")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "client" / ".ssh").mkdir(parents=True, mode=0o700)
        new_key(work / "client" / ".ssh" / "id_ed25519")
        board = _board(sshd, work / "board", work / "client", {})
        try:
            with TcpProxy(board.port, delay_s=asked.delay) as proxy:
                board.port = proxy.port
                know(board, work / "client")
                url = board.url.rpartition(":")[0] + f":{proxy.port}"
                figures = overheads(asked.build, board, proxy, url, work=work, runs=asked.runs)
                if asked.builds:
                    figures |= bytes_of_builds(proxy, url, work=work)
        finally:
            board.stop()
    begun.write({"delay_s": asked.delay, "sleep_s": SLEEP_S, **figures}, asked.out)


if __name__ == "__main__":
    main()
