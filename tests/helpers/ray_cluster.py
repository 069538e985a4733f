"""A cluster of Ray's on this machine, in processes of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RayCluster:
    """A running cluster."""

    # as `ray.init` takes it on this machine, and as Ray's client does on any
    address: str
    client_address: str
    process: subprocess.Popen[bytes]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def ray_of(workers: int) -> Iterator[RayCluster]:
    """A head with so many processors; it and its processes end with the block."""
    port, client_port = free_ports(2)
    # sockets lie in it, whose paths may have 107 characters
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
            *("--node-ip-address", "127.0.0.1", "--port", str(port)),
            *("--ray-client-server-port", str(client_port), "--num-cpus", str(workers)),
            *("--object-store-memory", str(100 << 20), "--temp-dir", str(folder)),
            *("--include-dashboard", "false", "--disable-usage-stats"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        _await_ports(process, port, client_port)
        yield RayCluster(f"127.0.0.1:{port}", f"ray://127.0.0.1:{client_port}", process)
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def _await_ports(process: subprocess.Popen[bytes], *ports: int) -> None:
    until = time.monotonic() + 120
    for port in ports:
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.2)
        else:
            raise RuntimeError(f"Ray did not start on port {port}")
