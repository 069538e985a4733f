"""Whom a link trusts, and what is said where it cannot be had."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from edge_scnet.devices.connection import connected
from edge_scnet.devices.device import Device
from edge_scnet.errors import DeviceError
from tests.devices.conftest import Board, MakeBoard, know, new_key

pytestmark = pytest.mark.slow


def opened(device: Device) -> str:
    """Opens a link, and says what the machine answers."""

    async def ask() -> str:
        async with connected(device) as link:
            output = await link.run("probe.sh", "", "python3", "", "")
            return output.stdout.decode()

    return asyncio.run(ask())


def refused(device: Device) -> DeviceError:
    with pytest.raises(DeviceError) as raised:
        opened(device)
    return raised.value


def test_a_known_board_answers(board: Board) -> None:
    answer = opened(board.device)
    assert f"workdir={board.workdir}\n" in answer
    assert board.workdir.is_dir() and (board.workdir.stat().st_mode & 0o077) == 0


def test_an_unknown_host_key_is_refused_with_the_line_that_adds_it(
    new_board: MakeBoard, client_home: Path
) -> None:
    board = new_board(known=False)
    error = refused(board.device)
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(board.home.parent / "host_key.pub")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[1]
    assert shown in error.message, "the fingerprint as the board prints it"
    line = f"ssh-keyscan -p {board.port} 127.0.0.1 >> ~/.ssh/known_hosts"
    assert line in error.hint
    subprocess.run(["sh", "-c", line], check=True, stderr=subprocess.DEVNULL)
    assert "workdir=" in opened(board.device)


def test_a_changed_host_key_is_another_error(new_board: MakeBoard, client_home: Path) -> None:
    board = new_board(known=False)
    new_key(client_home / "other")
    other = (client_home / "other.pub").read_text().split()[:2]
    known = client_home / ".ssh" / "known_hosts"
    known.write_text(f"[127.0.0.1]:{board.port} {' '.join(other)}\n")
    error = refused(board.device)
    assert "another host key" in error.message
    assert f"ssh-keygen -R '[127.0.0.1]:{board.port}'" in error.hint
    assert "ssh-keyscan" not in error.hint, "a changed key is not to be added without a thought"


def test_a_key_that_is_not_taken(new_board: MakeBoard, client_home: Path) -> None:
    board = new_board()
    for name in ("id_ed25519", "id_ed25519.pub"):
        (client_home / ".ssh" / name).rename(client_home / name)
    new_key(client_home / ".ssh" / "id_ed25519")
    (client_home / ".ssh" / "id_ed25519.pub").unlink()
    board_keys = board.home.parent / "sshd_config"
    assert "id_ed25519.pub" in board_keys.read_text()
    error = refused(board.device)
    assert "takes none of your keys" in error.message
    assert "ssh-copy-id" in error.hint


def test_a_key_with_a_passphrase_is_the_agents(
    board: Board, client_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(client_home / ".ssh" / "id_ed25519")
    socket_path = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket_path)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if socket_path.exists():
                break
            time.sleep(0.05)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket_path)}
        subprocess.run(["ssh-add", "-q", key], check=True, env=environment)
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", key], check=True)
        error = refused(board.device)
        assert "takes none of your keys" in error.message and "ssh-add" in error.hint
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
        assert "workdir=" in opened(board.device)
    finally:
        agent.terminate()
        agent.wait(10)


def test_hosts_of_the_ssh_configuration_are_known(board: Board, client_home: Path) -> None:
    (client_home / ".ssh" / "config").write_text(
        f"Host gateway\n  HostName 127.0.0.1\n  Port {board.port}\n"
    )
    assert "workdir=" in opened(Device(name="gateway", host="gateway"))


def test_nobody_answers(client_home: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error = refused(Device(name="x", host="127.0.0.1", port=port))
    assert "cannot connect" in error.message and "BatchMode=yes" in error.hint


def test_a_device_that_says_nothing_is_left_after_a_while(
    client_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_scnet.devices import connection

    monkeypatch.setattr(connection, "_CONNECT_S", 0.2)
    monkeypatch.setattr(connection, "_LOGIN_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        error = refused(Device(name="x", host="127.0.0.1", port=port))
    assert "cannot connect" in error.message


def test_two_boards_have_their_own_homes(new_board: MakeBoard, client_home: Path) -> None:
    one, other = new_board("one"), new_board("other", known=False)
    know(other, client_home)
    assert f"workdir={one.workdir}" in opened(one.device)
    assert f"workdir={other.workdir}" in opened(other.device)
