"""The link to a device: opened with the user's own SSH configuration, keys and known hosts.

Nobody is asked for anything: a key that needs a passphrase is the agent's, and a password is never
sent. Faults of the network and of SSH become a DeviceError here.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edge_scnet.core.optional import require
from edge_scnet.devices.device import Device
from edge_scnet.devices.talk import Talk
from edge_scnet.errors import DeviceError, first_line

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

_CONNECT_S, _LOGIN_S = 15.0, 30.0
_ASK_S, _CLOSE_S = 60.0, 2.0
# a link is dead after so many questions without an answer
_KEEPALIVE_S, _KEEPALIVES = 5, 4
_SSH_PORT = 22


class LinkLost(DeviceError):
    """The connection broke; what runs on the device goes on."""


class NotOpened(DeviceError):
    """The connection broke while it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a script on a device printed, and its exit code."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def lines(self) -> list[str]:
        """Its lines, as text."""
        return self.stdout.decode("utf-8", "surrogateescape").splitlines()


@dataclass(slots=True)
class Moved:
    """Bytes of files that went over a link, both ways."""

    sent_bytes: int = 0
    received_bytes: int = 0


class Link:
    """An open connection to a device."""

    def __init__(self, device: Device, connection: asyncssh.SSHClientConnection) -> None:
        self.device = device
        self.moved = Moved()
        self._connection = connection
        self._sftp: asyncssh.SFTPClient | None = None

    async def run(
        self, script: str, *arguments: str, stdin: bytes = b"", timeout_s: float = _ASK_S
    ) -> Output:
        """Runs one of the `.sh` files beside this module, and waits for it.

        Raises:
            LinkLost: the connection broke.
            DeviceError: nothing came back in time.
        """
        asyncssh = require("asyncssh", extra="ssh")
        self.moved.sent_bytes += len(stdin)
        # of an empty input asyncssh would leave stdin open
        given: dict[str, Any] = {"input": stdin} if stdin else {"stdin": asyncssh.DEVNULL}
        done = await self.guarded(
            self._connection.run(command_of(script, arguments), encoding=None, **given),
            timeout_s=timeout_s,
            what=f"it did not end {script}",
        )
        if done.exit_status is None and done.exit_signal is None:
            # it ended with its connection
            raise self.lost("the connection ended")
        return Output(
            code=-1 if done.exit_status is None else done.exit_status,
            stdout=_bytes(done.stdout),
            stderr=_bytes(done.stderr),
        )

    @contextlib.asynccontextmanager
    async def talk(self, script: str, *arguments: str) -> AsyncIterator[Talk]:
        """Runs a script that is talked with, until the end of the block.

        Raises:
            LinkLost: the connection broke.
        """
        process = await self.guarded(
            self._connection.create_process(command_of(script, arguments), encoding=None)
        )
        try:
            yield Talk(self, process)
        finally:
            process.close()
            with contextlib.suppress(asyncio.TimeoutError, OSError):
                await asyncio.wait_for(process.wait_closed(), _CLOSE_S)

    @property
    def error(self) -> type[Exception]:
        """What the library of SSH raises."""
        error: type[Exception] = require("asyncssh", extra="ssh").Error
        return error

    async def sftp(self) -> asyncssh.SFTPClient:
        """The connection's SFTP session, opened at its first use.

        Raises:
            LinkLost: the connection broke. DeviceError: the device's sshd has no SFTP.
        """
        if self._sftp is None:
            asyncssh = require("asyncssh", extra="ssh")
            try:
                self._sftp = await self.guarded(
                    self._connection.start_sftp_client(path_encoding=None)
                )
            except (asyncssh.ChannelOpenError, asyncssh.SFTPError) as error:
                raise DeviceError(
                    f"{self.device.address} has no SFTP: {first_line(error)}",
                    hint="on the device: apt-get install openssh-sftp-server",
                ) from error
        assert self._sftp is not None
        return self._sftp

    async def guarded(
        self, work: Awaitable[T], *, timeout_s: float | None = None, what: str = ""
    ) -> T:
        """Awaits what uses the connection.

        Args:
            what: what did not happen, where it takes longer.

        Raises:
            LinkLost: the connection ended. DeviceError: it took longer.
        """
        asyncssh = require("asyncssh", extra="ssh")
        try:
            return await asyncio.wait_for(work, timeout_s)
        except (asyncio.TimeoutError, asyncssh.TimeoutError) as error:
            raise DeviceError(
                f"{self.device.address} hangs: {what} within {timeout_s or 0:.0f} s",
                hint=f"look at its load and its disk: ssh {self.device.address} uptime",
            ) from error
        except (asyncssh.ConnectionLost, asyncssh.DisconnectError) as error:
            raise self.lost(first_line(error)) from error
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
            raise self.lost(first_line(error)) from error
        except asyncssh.ChannelOpenError as error:
            if self._connection.is_closed():
                raise self.lost(first_line(error)) from error
            raise
        except (ConnectionError, BrokenPipeError) as error:
            raise self.lost(first_line(error)) from error

    def lost(self, why: str) -> LinkLost:
        """The error of a connection that broke."""
        return LinkLost(
            f"the connection to {self.device.address} broke: {why}",
            hint="run the same command again: it goes on where it was",
        )


def command_of(script: str, arguments: tuple[str, ...]) -> str:
    """The command line that runs a script of this package, whatever the arguments hold.

    The user's login shell sees quoted words alone; `sh` gets the script as one of them.
    """
    text = (files("edge_scnet.devices") / script).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return "exec " + shlex.join(["sh", "-c", "\n".join(lines), script, *arguments])


def _bytes(output: bytes | str | None) -> bytes:
    return output.encode() if isinstance(output, str) else output or b""


@contextlib.asynccontextmanager
async def connected(device: Device) -> AsyncIterator[Link]:
    """Opens a connection, and closes it at the end of the block.

    Raises:
        MissingRuntimeError: asyncssh is not installed.
        DeviceError: nobody answers, the host's key is unknown or another, or no key is taken.
        NotOpened: it broke before it was made.
    """
    asyncssh = require("asyncssh", extra="ssh")
    seen: list[tuple[str, str, int, Any]] = []

    # asyncssh is imported at run time: mypy does not know the class
    class Client(asyncssh.SSHClient):  # type: ignore[misc, name-defined]
        """Keeps the key of a host that is not known."""

        def validate_host_public_key(self, host: str, addr: str, port: int, key: Any) -> bool:
            seen.append((host, addr, port, key))
            return False

    options: Mapping[str, Any] = {
        name: value
        for name, value in (("username", device.user), ("port", device.port))
        if value is not None
    }
    try:
        connection = await asyncio.wait_for(
            asyncssh.connect(
                device.host,
                client_factory=Client,
                connect_timeout=_CONNECT_S,
                login_timeout=_LOGIN_S,
                keepalive_interval=_KEEPALIVE_S,
                keepalive_count_max=_KEEPALIVES,
                password_auth=False,
                kbdint_auth=False,
                compression_algs=["zlib@openssh.com", "none"],
                **options,
            ),
            _CONNECT_S + _LOGIN_S,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise _untrusted(device, seen, error) from error
    except asyncssh.PermissionDenied as error:
        raise DeviceError(
            f"{device.address} takes none of your keys: {first_line(error)}",
            hint=(
                f"ssh-copy-id {device.address}; or, for a key with a passphrase: ssh-add. This is"
                f" to work without a question: ssh -o BatchMode=yes {_ssh_words(device)} true"
            ),
        ) from error
    except (OSError, asyncio.TimeoutError, asyncssh.Error, ValueError) as error:
        what = "no answer in time" if isinstance(error, asyncio.TimeoutError) else ""
        broke = isinstance(error, (asyncssh.ConnectionLost, ConnectionResetError))
        raise (NotOpened if broke else DeviceError)(
            f"cannot connect to {device.address}: {what or first_line(error)}",
            hint=f"ssh -v -o BatchMode=yes {_ssh_words(device)} true",
        ) from error
    try:
        yield Link(device, connection)
    finally:
        connection.close()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(connection.wait_closed(), _CLOSE_S)


def _ssh_words(device: Device) -> str:
    """The device as arguments of OpenSSH's programs."""
    port = f"-p {device.port} " if device.port else ""
    user = f"{device.user}@" if device.user else ""
    return f"{port}{user}{device.host}"


def _untrusted(
    device: Device, seen: list[tuple[str, str, int, Any]], error: Exception
) -> DeviceError:
    """The error of a host whose key is unknown, or not the one that is known."""
    if not seen:
        return DeviceError(
            f"{device.address} shows a host key that is not to be trusted: {first_line(error)}",
            hint=f"ssh -v {_ssh_words(device)} true",
        )
    asyncssh = require("asyncssh", extra="ssh")
    host, addr, port, key = seen[-1]
    fingerprint = f"{key.get_algorithm()} {key.get_fingerprint()}"
    name = host if port == _SSH_PORT else f"[{host}]:{port}"
    if _is_known(asyncssh, host, addr, port):
        return DeviceError(
            f"{device.address} shows another host key than ~/.ssh/known_hosts has: {fingerprint}."
            " It was set up anew, or somebody is in between",
            hint=(
                "ask who runs it; where the new key is right, forget the old one:"
                f" ssh-keygen -R '{name}'"
            ),
        )
    port_words = "" if port == _SSH_PORT else f"-p {port} "
    return DeviceError(
        f"{device.address} is not in ~/.ssh/known_hosts; it shows the host key {fingerprint}",
        hint=(
            "where that is the one that the device itself prints (ssh-keygen -lf"
            " /etc/ssh/ssh_host_ed25519_key.pub), add it:"
            f" ssh-keyscan {port_words}{host} >> ~/.ssh/known_hosts"
        ),
    )


def _is_known(asyncssh: Any, host: str, addr: str, port: int) -> bool:
    """Whether the user's known hosts have a key of a host, which is another then."""

    with contextlib.suppress(OSError, ValueError):
        known = asyncssh.read_known_hosts(str(Path.home() / ".ssh" / "known_hosts"))
        return any(known.match(host, addr, port)[:2])
    return False
