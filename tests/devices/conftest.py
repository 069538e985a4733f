"""Boards for tests: OpenSSH's own server on the loopback, each with its own port, home and keys."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_scnet.devices.device import Device

REPOSITORY = Path(__file__).parents[2]
_START_S = 10


@dataclass(kw_only=True)
class Board:
    """A machine that is reached over SSH, with a home of its own on this one."""

    home: Path
    port: int
    server: subprocess.Popen[bytes]
    # how `edge-scnet --device` names it
    url: str

    @property
    def device(self) -> Device:
        """The board as the library names it."""
        return Device(name=self.url.removeprefix("ssh://"), host="127.0.0.1", port=self.port)

    @property
    def workdir(self) -> Path:
        """Where its jobs and its cache lie."""
        return self.home / ".cache" / "edge-scnet"

    def stop(self) -> None:
        """Ends its sshd, as a board that is switched off, but not what its jobs are."""
        self.server.terminate()
        self.server.wait(10)


MakeBoard = Callable[..., Board]


@pytest.fixture(scope="session")
def sshd() -> str:
    """The path of OpenSSH's server."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("sshd", path=places)
    if found is None:
        pytest.skip("sshd is not installed: apt-get install openssh-server")
    for program in ("ssh-keygen", "ssh-keyscan", "flock", "setsid", "sha256sum"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    return found


@pytest.fixture
def client_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the user's, with a key and without known hosts."""
    home = tmp_path / "client"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    for name in ("SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    new_key(home / ".ssh" / "id_ed25519")
    return home


def new_key(path: Path) -> None:
    """Makes a pair of keys."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def new_board(sshd: str, client_home: Path, tmp_path: Path) -> Iterator[MakeBoard]:
    """Makes boards: `new_board("orin", known=True)`; all end with the test."""
    boards: list[Board] = []

    def make(name: str = "board", *, known: bool = True, **environment: str) -> Board:
        board = _board(sshd, tmp_path / name, client_home, environment)
        boards.append(board)
        if known:
            know(board, client_home)
        return board

    yield make
    for board in boards:
        board.stop()


@pytest.fixture
def board(new_board: MakeBoard) -> Board:
    """A board that the user knows."""
    return new_board()


def know(board: Board, client_home: Path) -> None:
    """Puts a board's host key into the user's known hosts."""
    command = ["ssh-keyscan", "-p", str(board.port), "127.0.0.1"]
    keys = subprocess.run(command, check=True, capture_output=True).stdout
    with (client_home / ".ssh" / "known_hosts").open("ab") as file:
        file.write(keys)


def _board(sshd: str, folder: Path, client_home: Path, environment: dict[str, str]) -> Board:
    home = folder / "home"
    home.mkdir(parents=True)
    new_key(folder / "host_key")
    # the board has this checkout as its edge-scnet; its python3 is the tests' own
    (folder / "bin").mkdir()
    python = folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    settings = {
        "HOME": str(home),
        "PATH": os.pathsep.join(
            [str(folder / "bin"), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
        ),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder / 'host_key'}",
        f"PidFile {folder / 'pid'}",
        f"AuthorizedKeysFile {client_home / '.ssh' / 'id_ed25519.pub'}",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "MaxStartups 100",
        "Subsystem sftp internal-sftp",
        "SetEnv " + " ".join(f'"{name}={value}"' for name, value in settings.items()),
    ]
    config = folder / "sshd_config"
    config.write_text("\n".join(lines) + "\n")
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = folder / "sshd.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    if not _answers(port, server):
        server.kill()
        server.wait()
        pytest.fail(f"sshd does not start: {log.read_text(errors='replace')[-300:].strip()}")
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
    return Board(home=home, port=port, server=server, url=url)


def _answers(port: int, server: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as link:
            link.settimeout(2)
            return link.recv(4) == b"SSH-"
        time.sleep(0.05)
    return False


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
