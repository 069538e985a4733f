"""Devices: what `--device` may say, and `devices.toml`, which gives them names and tags."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from edge_scnet.config.schema import Filled, check_values, read_table, read_toml
from edge_scnet.core.foreign import exists
from edge_scnet.errors import TargetError

FILE = "devices.toml"
_URL, _TAG = "ssh://", "tag:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# of a host, which OpenSSH takes as an argument too: no space, no option, nothing of a shell
_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z_][A-Za-z0-9._-]{0,63})@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,253}|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]+)?\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_SHAPE = "ssh://user@host:port, where user and port may be left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTable:
    """A table of `devices.toml`: one device."""

    host: Annotated[
        Filled,
        Meta(description="user@host:port, or a Host of ~/.ssh/config; user and port may be absent"),
    ]
    target: Annotated[
        Filled | None, Meta(description="the target that is built for it without --target")
    ] = None
    tags: Annotated[
        tuple[Filled, ...], Meta(description="names that it shares with others: --device tag:orin")
    ] = ()
    power_mode: Annotated[
        Annotated[int, Meta(ge=0, le=99)] | None,
        Meta(description="the mode of nvpmodel that --set-power-mode sets for a job"),
    ] = None
    python: Annotated[
        Filled | None,
        Meta(description="the Python there that has edge-scnet; without it python3"),
    ] = None
    workdir: Annotated[
        Filled | None,
        Meta(description="where jobs and the cache lie there; without it ~/.cache/edge-scnet"),
    ] = None

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A machine that jobs run on."""

    # of devices.toml; else what `--device` says, without ssh://
    name: str
    host: str
    # None: as the SSH configuration says
    user: str | None = None
    port: int | None = None
    target: str | None = None
    tags: tuple[str, ...] = ()
    power_mode: int | None = None
    python: str | None = None
    workdir: str | None = None
    # it has a table in a devices.toml
    is_named: bool = False

    @property
    def option(self) -> str:
        """What `--device` says for it."""
        return self.name if self.is_named else f"{_URL}{self.name}"

    @property
    def address(self) -> str:
        """Its address as SSH's own programs print it."""
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{user}{self.host}{port}"


def find_devices(words: str, *, folder: Path = Path()) -> tuple[Device, ...]:
    """The devices that `--device` names, each once, in the order that they are named in.

    Args:
        words: addresses (ssh://user@host:port), names and tags (tag:orin) with commas between.
        folder: the project's, whose devices.toml goes before the user's own.

    Raises:
        TargetError: no such name or tag, an address that is none, or a fault in a devices.toml.
    """
    known = known_devices(folder)
    found: dict[str, Device] = {}
    for word in (word.strip() for word in words.split(",")):
        for device in _devices_of(word, known, folder):
            found.setdefault(device.name, device)
    return tuple(found.values())


def known_devices(folder: Path = Path()) -> dict[str, Device]:
    """All devices of the project's devices.toml and of the user's own, by name."""
    known: dict[str, Device] = {}
    for file in files_of(folder):
        if exists(file):
            for name, device in _read(file).items():
                known.setdefault(name, device)
    return known


def files_of(folder: Path = Path()) -> tuple[Path, Path]:
    """Where a devices.toml may lie: the project's folder, and the user's configuration."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return folder / FILE, Path(home) / "edge-scnet" / FILE


def _devices_of(word: str, known: Mapping[str, Device], folder: Path) -> Sequence[Device]:
    if word.startswith(_URL):
        host, user, port = _parsed(word.removeprefix(_URL).removesuffix("/"), f"--device {word}")
        return [Device(name=word.removeprefix(_URL), host=host, user=user, port=port)]
    files = " or ".join(str(file) for file in files_of(folder))
    if word.startswith(_TAG):
        tag = word.removeprefix(_TAG)
        tagged = [device for device in known.values() if tag in device.tags]
        if not tagged:
            tags = sorted({tag for device in known.values() for tag in device.tags})
            raise TargetError(
                f"--device {word}: no device has that tag{_near(tag, tags)}; there are"
                f" {', '.join(tags) or 'none'}",
                hint=f'tags = ["{tag}"] in a table of {files}',
            )
        return tagged
    if word not in known:
        raise TargetError(
            f"--device {word}: no device has that name{_near(word, list(known))}; there are"
            f" {', '.join(known) or 'none'}",
            hint=f"name its address: --device ssh://user@host; or give it a table in {files}",
        )
    return [known[word]]


def _near(word: str, words: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _read(file: Path) -> dict[str, Device]:
    """The devices of a devices.toml."""
    devices = {}
    for name, table in read_toml(file).items():
        try:
            devices[name] = _device(name, table)
        except TargetError as error:
            raise TargetError(
                f"{file}: {error.message}", hint="its keys: docs/reference/devices.md"
            ) from None
    return devices


def _device(name: str, table: Any) -> Device:
    if not _NAME.fullmatch(name):
        raise TargetError(
            f"[{name}] is no name for a device: letters, digits, '.', '_' and '-', at most 63"
        )
    if not isinstance(table, dict):
        raise TargetError(f"{name} must be a table: [{name}]")
    read = read_table(DeviceTable, table, prefix=name)
    host, user, port = _parsed(read.host.removeprefix(_URL), f"{name}.host")
    return Device(
        name=name,
        host=host,
        user=user,
        port=port,
        target=read.target,
        tags=read.tags,
        power_mode=read.power_mode,
        python=read.python,
        workdir=read.workdir,
        is_named=True,
    )


def _parsed(text: str, where: str) -> tuple[str, str | None, int | None]:
    """Host, user and port of an address.

    Raises:
        TargetError: it is none. A password in it is not shown.
    """
    found = _HOST.fullmatch(text)
    if found is None:
        front = text.rpartition("@")[0]
        if ":" in front and "/" not in front:
            raise TargetError(
                f"{where.partition(' ')[0]} holds a password: it would stand in the list of"
                " processes and in the shell's history",
                hint="use a key: ssh-keygen, then ssh-copy-id user@host",
            )
        raise TargetError(f"{where} is no address; it must be {_SHAPE}")
    port = found["port"]
    if port is not None and not 0 < int(port) < 65536:
        raise TargetError(f"{where}: there is no port {port}; it must be from 1 to 65535")
    return found["host"].strip("[]"), found["user"], int(port) if port else None
