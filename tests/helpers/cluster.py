"""A Dask cluster over TLS in processes of its own, as a program and for tests.

    python -m tests.helpers.cluster WORKERS

It prints the scheduler's address, and ends when its stdin does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    address: str
    # what a client's environment needs
    environment: Mapping[str, str]
    process: subprocess.Popen[str]

    def worker_pids(self) -> list[int]:
        """The numbers in the system of the workers that run."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("workers\n")
        self.process.stdin.flush()
        found: list[int] = json.loads(self.process.stdout.readline())
        return found


def tls_environment(folder: Path) -> dict[str, str]:
    """A certificate for this machine made by openssl, as Dask's settings name it."""
    file = folder / "cluster.pem"
    if not file.exists():
        key, certificate = folder / "key.pem", folder / "cert.pem"
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        made = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*command.split(), *made], check=True, capture_output=True)
        file.write_text(certificate.read_text() + key.read_text())
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    roles = ("CLIENT", "SCHEDULER", "WORKER")
    return {f"{tls}CA_FILE": str(file), **{f"{tls}{role}__CERT": str(file) for role in roles}}


@contextlib.contextmanager
def cluster_of(workers: int, folder: Path) -> Iterator[Cluster]:
    """A cluster with so many single-threaded workers on this machine."""
    environment = {**tls_environment(folder), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.cluster", str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        cwd=folder,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Cluster(process.stdout.readline().strip(), environment, process)
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def main() -> None:
    """Runs the cluster."""
    from distributed import LocalCluster, Security

    with LocalCluster(
        n_workers=int(sys.argv[1]),
        threads_per_worker=1,
        processes=True,
        protocol="tls://",
        security=Security(require_encryption=True),
        dashboard_address=None,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        for _ in sys.stdin:
            pids = [worker.pid for worker in cluster.workers.values() if worker.pid]
            print(json.dumps(pids), flush=True)


if __name__ == "__main__":
    main()
