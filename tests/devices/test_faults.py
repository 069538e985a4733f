"""Links cut and processes killed at random points of an upload, a job and a download.

After each fault nothing that is half written has a name of its own, on the board and here; the next
call finishes, with the files that a run without faults gives.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.devices import fault_client
from tests.devices.conftest import Board
from tests.devices.fault_client import BYTES, ENGINE, EXIT_CODE, MADE, MANIFEST, MODEL, SCRIPT
from tests.helpers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
# an attempt without a fault takes two seconds on a quiet machine
_LONGEST_S = 120
_MOST_CALLS = 4
_SUCCESSOR = bytes((*range(1, 256), 0))


@dataclass(kw_only=True)
class Place:
    """A project's folder here, and the board that works for it through a link with faults."""

    folder: Path
    board: Board
    link: TcpProxy

    def start(self) -> subprocess.Popen[bytes]:
        """Starts a client."""
        return subprocess.Popen(
            [sys.executable, "-m", fault_client.__name__, str(self.link.port), str(self.folder)],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def renew(self, rng: random.Random) -> bytes:
        """Gives the folder another model, so that all moves again; returns what is made of it."""
        model = rng.randbytes(BYTES)
        (self.folder / MODEL).write_bytes(model)
        return model.translate(_SUCCESSOR)


def learn(board: Board, link: TcpProxy, client_home: Path) -> None:
    """Makes a board's host key known at the port of a link."""
    known = client_home / ".ssh" / "known_hosts"
    text = known.read_text()
    with known.open("a") as file:
        file.write(text.replace(f":{board.port} ", f":{link.port} "))


@pytest.fixture
def place(board: Board, client_home: Path, tmp_path: Path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / SCRIPT).write_text(fault_client.TEXT)
    with TcpProxy(board.port) as link:
        learn(board, link, client_home)
        yield Place(folder=folder, board=board, link=link)


def cut_after(place: Place, client: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Cuts the link after so many bytes more, twice in a row at times."""
    place.link.cut_after_bytes = place.link.moved_bytes + rng.randrange(int(2.2 * BYTES))


def cut_sometime(place: Place, client: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Cuts the link at a moment, also where nothing moves."""
    time.sleep(rng.uniform(0, 3))
    place.link.cut()


def kill_client(place: Place, client: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Kills the client in a moment, as a laptop that is closed."""
    time.sleep(rng.uniform(0, 3))
    client.kill()


def kill_client_after(place: Place, client: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Kills the client after so many bytes: in the middle of its writing or reading."""
    limit = place.link.moved_bytes + rng.randrange(int(2.2 * BYTES))
    end = time.monotonic() + 20
    while place.link.moved_bytes < limit and client.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    client.kill()


def kill_job(place: Place, client: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Kills the job's own processes, once there are some."""
    end = time.monotonic() + 20
    while client.poll() is None and time.monotonic() < end:
        for file in place.board.workdir.glob("jobs/*/pid"):
            with contextlib.suppress(OSError, ValueError):
                time.sleep(rng.uniform(0, 0.8))
                os.killpg(int(file.read_text()), signal.SIGKILL)
                return
        time.sleep(0.002)


def kill_sshd(place: Place, client: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Kills the sshd processes of the link."""
    time.sleep(rng.uniform(0, 3))
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        pid, parent = map(int, line.split())
        if parent == place.board.server.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


Fault = Callable[[Place, subprocess.Popen[bytes], random.Random], None]
FAULTS: tuple[Fault, ...] = (
    cut_after,
    kill_client_after,
    kill_job,
    kill_sshd,
    cut_sometime,
    kill_client,
)


def check_nothing_is_half_written(place: Place, engines: set[bytes]) -> None:
    """Looks at all files that have a name of their own, on both sides."""
    for blob in place.board.workdir.glob("blobs/*"):
        if blob.suffix != ".part":
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name, "a blob on the board"
    made = place.folder / MADE
    if (made / ENGINE).exists():
        assert (made / ENGINE).read_bytes() in engines, "an engine here"
    if (made / MANIFEST).exists():
        sums = {f"{hashlib.sha256(engine).hexdigest()}  -\n" for engine in engines}
        assert (made / MANIFEST).read_text() in sums, "a manifest here"


def check_whole(place: Place, engine: bytes) -> None:
    """Looks at what is there when a call has finished: what was made, and nothing else."""
    made = place.folder / MADE
    assert {path.name for path in made.iterdir()} == {ENGINE, MANIFEST}, "leftovers here"
    assert (made / ENGINE).read_bytes() == engine
    assert (made / MANIFEST).read_text().split()[0] == hashlib.sha256(engine).hexdigest()
    left = [str(path.relative_to(place.board.workdir)) for path in place.board.workdir.rglob("*")]
    # of a link that was killed while a hash was computed a name with a process in it may be left
    half = [name for name in left if re.search(r"[0-9a-f]{64}\.part$|\.new$", name)]
    assert not half, "leftovers there"
    assert not [name for name in left if name.startswith("jobs/")], "a job that was fetched"


def finish(place: Place, fault: str) -> int:
    """Calls again until a call finishes; returns how many that took."""
    told = []
    for call in range(1, _MOST_CALLS + 1):
        client = place.start()
        out, err = client.communicate(timeout=_LONGEST_S)
        if client.returncode == 0:
            assert int(out) == EXIT_CODE
            return call
        told.append(err.decode()[-500:])
    pytest.fail(f"{fault}: no call finished: {told}")


def run_with_faults(place: Place, seed: int, faults: tuple[Fault, ...]) -> None:
    rng = random.Random(seed)
    engines: set[bytes] = set()
    for number, fault in enumerate(faults):
        engine = place.renew(rng)
        engines.add(engine)
        name = f"seed {seed}, fault {number}, {fault.__name__}"
        client = place.start()
        fault(place, client, rng)
        out, err = client.communicate(timeout=_LONGEST_S)
        place.link.cut_after_bytes = None
        check_nothing_is_half_written(place, engines)
        if client.returncode == 0:
            assert int(out) == EXIT_CODE, name
        elif client.returncode == -signal.SIGKILL:
            pass
        else:
            # in words, and not by a traceback
            assert client.returncode == 3 and b"Traceback" not in err, (name, err.decode())
            # only what loses the job itself is told: links that break are mended
            assert fault is kill_job, (name, err.decode())
        calls = finish(place, name)
        assert calls == 1, f"{name}: finished by call {calls} after the fault"
        check_whole(place, engine)


def test_after_each_kind_of_fault_the_next_call_finishes(place: Place) -> None:
    run_with_faults(place, 1, FAULTS)


@pytest.mark.soak
def test_after_50_faults_at_random_points_the_next_call_finishes(place: Place) -> None:
    seed = int(os.environ.get("EDGE_SCNET_FAULT_SEED", "20"))
    rng = random.Random(seed)
    run_with_faults(place, seed, tuple(rng.choice(FAULTS) for _ in range(50)))
