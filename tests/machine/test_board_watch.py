"""A board watched while engines are timed: by tegrastats or by sysfs, both made up."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from edge_scnet.machine import board_watch
from edge_scnet.machine.board import RailPower
from tests.helpers.tegrastats import ORIN_NANO


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def test_tegrastats_is_followed_from_before_the_window_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, loaded = (
        ORIN_NANO.replace("RAM 4722", "RAM 4000").replace("VDD_IN 5336", "VDD_IN 1000"),
        ORIN_NANO,
    )
    body = (
        f"echo $$ >{tmp_path}/pid\necho '{idle}'\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.01;"
        " done\n"
    )
    program(tmp_path, "tegrastats", f"{body}while :; do echo '{loaded}'; sleep 0.01; done")
    program(tmp_path, "nvpmodel", "echo 'NV Power Mode: 25W'; echo 1")
    program(tmp_path, "jetson_clocks", "echo 'Error: Please run as root' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with board_watch.watching(tmp_path) as watch, watch.timed():
        (tmp_path / "go").touch()
        time.sleep(0.1)
    state = watch.state()
    assert state is not None and state.samples >= 2
    assert (state.power_mode, state.clocks_pinned, state.ram_delta_bytes) == (
        "25W",
        None,
        722 << 20,
    )
    assert state.module == RailPower(
        rail="VDD_IN", mean_mw=5336, peak_mw=5336
    )  # the idle reading is not in it
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_clock_that_tegrastats_does_not_tell_a_user_is_read_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"17000000.gpu": "624750000", "gpu-nvd-0": "1590000000", "15340000.vic": "115200000"}
    sysfs(tmp_path, {f"sys/class/devfreq/{name}/cur_freq": hz for name, hz in files.items()})
    line = ORIN_NANO.replace(" EMC_FREQ 2%@1866", "").replace("10%@1300", "99%")
    program(tmp_path, "tegrastats", f"while :; do echo '{line}'; sleep 0.01; done")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with board_watch.watching(tmp_path) as watch, watch.timed():
        time.sleep(0.1)
    state = watch.state()
    assert state is not None and state.samples
    assert (state.gpu_clock_low_mhz, state.gpu_clock_high_mhz) == (624, 624)
    assert (state.gpu_percent, state.throttled) == (99.0, False)


def test_sysfs_is_read_where_tegrastats_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container without the driver's libraries."""
    sysfs(tmp_path, {"sys/class/devfreq/17000000.gpu/cur_freq": "624750000"})
    program(tmp_path, "tegrastats", "echo 'Error: NVML shared library not found'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with board_watch.watching(tmp_path) as watch, watch.timed():
        time.sleep(0.25)
    state = watch.state()
    assert state is not None and state.samples and state.gpu_clock_high_mhz == 624


def sysfs(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


def test_sysfs_tells_what_it_can_where_tegrastats_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = "sys/class/devfreq/17000000.gpu"
    sysfs(
        tmp_path,
        {
            f"{gpu}/cur_freq": "1020000000",
            f"{gpu}/min_freq": "1020000000",
            f"{gpu}/max_freq": "1020000000",
            f"{gpu}/device/load": "970",
            "sys/class/devfreq/15340000.vic/cur_freq": "1",
            "sys/class/thermal/thermal_zone0/type": "gpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": "46750",
            "sys/class/thermal/thermal_zone2/type": "PMIC-Die",
            "sys/class/thermal/thermal_zone2/temp": "100000",
            "sys/class/thermal/thermal_zone1/type": "cv0-thermal",
            "sys/class/thermal/thermal_zone1/temp": "-256000",
            "proc/meminfo": "MemTotal: 8000 kB\nMemFree: 1 kB\nMemAvailable: 5000 kB",
        },
    )
    monkeypatch.setenv("PATH", "/nowhere")
    with board_watch.watching(tmp_path) as watch, watch.timed():
        time.sleep(0.25)
    state = watch.state()
    assert state is not None and state.samples >= 1
    assert (state.clocks_pinned, state.throttled, state.gpu_percent, state.gpu_clock_low_mhz) == (
        True,
        False,
        97,
        1020,
    )
    assert (state.temperature_peak_celsius, state.temperature_peak_sensor) == (46.75, "gpu-thermal")
    assert state.ram_delta_bytes == 0 and state.rails == () and state.module is None


def test_off_a_board_there_is_nothing_to_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with board_watch.watching(tmp_path) as watch, watch.timed():
        pass
    assert watch.state() is None
