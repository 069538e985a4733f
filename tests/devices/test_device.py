"""What `--device` may say, and what devices.toml holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.devices.device import find_devices
from edge_scnet.errors import TargetError

TABLES = """
[orin-1]
host = "nvidia@10.0.0.5:2222"
target = "jetson-agx-orin"
tags = ["orin", "lab"]
power_mode = 0

[orin-2]
host = "orin2"
tags = ["orin"]
python = "/opt/edge/bin/python"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "devices.toml").write_text(TABLES)
    return tmp_path


def test_an_address_needs_no_file(folder: Path) -> None:
    (device,) = find_devices("ssh://me@gateway.lab:2222")
    assert (device.user, device.host, device.port) == ("me", "gateway.lab", 2222)
    assert device.name == "me@gateway.lab:2222"
    (plain,) = find_devices("ssh://[fe80::1%eth0]:22", folder=folder)
    assert (plain.host, plain.port, plain.user) == ("fe80::1%eth0", 22, None)


def test_names_and_tags_are_those_of_the_file(folder: Path) -> None:
    (one,) = find_devices("orin-1", folder=folder)
    assert (one.user, one.host, one.port) == ("nvidia", "10.0.0.5", 2222)
    assert one.target == "jetson-agx-orin" and one.power_mode == 0
    both = find_devices("orin-2,tag:orin", folder=folder)
    assert [device.name for device in both] == ["orin-2", "orin-1"]


def test_the_projects_own_file_goes_before_the_users(folder: Path) -> None:
    own = folder / "config" / "edge-scnet"
    own.mkdir(parents=True)
    (own / "devices.toml").write_text('[orin-1]\nhost = "other"\n[nuc]\nhost = "nuc"\n')
    found = find_devices("orin-1,nuc", folder=folder)
    assert [device.host for device in found] == ["10.0.0.5", "nuc"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[a]\nhots = "x"', "unknown key a.hots; did you mean a.host?"),
        ("[a]\n", "key a.host is missing"),
        ('[a]\nhost = "x"\npower_mode = "MAXN"', "a.power_mode is"),
        ('[a]\nhost = "-oProxyCommand=sh"', "a.host is no address"),
        ('[a]\nhost = "me@x; rm -rf ~"', "a.host is no address"),
        ('["a b"]\nhost = "x"', "no name for a device"),
        ('a = "x"', "a must be a table"),
    ],
)
def test_a_fault_of_the_file_is_told_by_its_key(folder: Path, text: str, words: str) -> None:
    (folder / "devices.toml").write_text(text)
    with pytest.raises(TargetError) as raised:
        find_devices("a", folder=folder)
    assert words in raised.value.message and "devices.toml" in raised.value.message


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("orin1", "did you mean orin-1?"),
        ("tag:orion", "did you mean orin?"),
        ("ssh://", "is no address"),
        ("ssh://host;reboot", "is no address"),
        ("ssh://-l@host", "is no address"),
        ("ssh://ho st", "is no address"),
        ("ssh://host:70000", "no port 70000"),
        ("", "no device has that name"),
    ],
)
def test_a_word_that_names_nothing_is_refused(folder: Path, word: str, words: str) -> None:
    with pytest.raises(TargetError, match="--device") as raised:
        find_devices(word, folder=folder)
    assert words in raised.value.message


def test_a_password_is_neither_taken_nor_shown(folder: Path) -> None:
    with pytest.raises(TargetError) as raised:
        find_devices("ssh://me:hunter2@gateway")
    assert "password" in raised.value.message
    assert "hunter2" not in raised.value.message + raised.value.hint
