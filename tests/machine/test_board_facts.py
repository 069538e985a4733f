"""What a board says of itself, from invented files and programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_scnet.machine.board_facts import board_facts
from tests.helpers.machines import act

_ORIN = "NVIDIA Jetson Orin Nano Developer Kit"
_RELEASE = "# R36 (release), REVISION: 4.3, GCID: 1"


def _program(folder: Path, name: str, prints: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\nprintf '%s\\n' '{prints}'\n")
    (folder / name).chmod(0o755)


def test_an_orin_on_jetpack_6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = tmp_path / "sys/class/devfreq/17000000.gpu"
    gpu.mkdir(parents=True)
    act(
        monkeypatch,
        {
            "/etc/nv_tegra_release": _RELEASE,
            "/proc/driver/nvidia/version": (
                "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  541.2.0  Release Build"
                "  (builder@host)  Mon Nov  2\nGCC version: collect2: error 11.4.0"
            ),
            "/usr/local/cuda/version.json": (
                '{\n   "cuda" : {\n      "name" : "CUDA SDK",\n      "version" : "12.6.11"\n   },\n'
                '   "cuda_cccl" : {"version" : "12.6.37"}\n}'
            ),
            f"{gpu}/min_freq": "306000000",
            f"{gpu}/max_freq": "1020000000",
        },
    )
    _program(tmp_path, "nvpmodel", "NV Power Mode: MAXN_SUPER\n2")
    _program(tmp_path, "dpkg-query", "6.2.1+b38")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    facts = board_facts(_ORIN, tmp_path)
    assert (facts.model, facts.l4t, facts.jetpack) == (_ORIN, "36.4.3", "6.2.1")
    assert (facts.driver, facts.cuda_toolkit) == ("541.2.0", "12.6.11")
    assert (facts.power_mode, facts.gpu_low_mhz, facts.gpu_high_mhz) == ("MAXN_SUPER", 306, 1020)
    assert facts.clocks_pinned is False and (facts.free_disk_bytes or 0) > 0


@pytest.mark.parametrize(
    ("driver", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  35.4.1  Release Build",
            "35.4.1",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  595.11  Release Build",
            "595.11",
        ),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  581.20.4  Mon Nov 2", "581.20.4"),
        ("no such module", None),
    ],
)
def test_the_driver(
    driver: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(monkeypatch, {"/proc/driver/nvidia/version": driver})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert board_facts(_ORIN, tmp_path).driver == version


def test_what_a_board_does_not_tell_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(
        monkeypatch,
        {"/etc/nv_tegra_release": _RELEASE, "/usr/local/cuda/version.txt": "CUDA Version 10.2.89"},
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = board_facts(_ORIN, tmp_path)
    assert (facts.jetpack, facts.cuda_toolkit) == ("6.2", "10.2.89")
    assert facts.power_mode is None and facts.driver is None and facts.clocks_pinned is None
