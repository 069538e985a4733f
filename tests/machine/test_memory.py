"""Memory, from an invented /proc and of this process."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.machine import memory
from tests.helpers.machines import act

MEMINFO = "MemTotal:  8000 kB\nMemFree:  100 kB\nMemAvailable:  5000 kB\nHugePages_Total: 0\n"


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({"/proc/meminfo": MEMINFO}, 5000 * 1024),
        ({"/proc/meminfo": MEMINFO, "/sys/fs/cgroup/memory.max": "max"}, 5000 * 1024),
        (
            {
                "/proc/meminfo": MEMINFO,
                "/sys/fs/cgroup/memory.max": "3000000",
                "/sys/fs/cgroup/memory.current": "1000000",
            },
            2_000_000,
        ),
        ({}, None),
    ],
)
def test_available_is_the_less_of_machine_and_control_group(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], available: int | None
) -> None:
    act(monkeypatch, files)
    assert memory.available_memory_bytes() == available


def test_a_limit_of_the_control_group_is_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = memory.total_memory_bytes()
    assert whole is not None
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        act(monkeypatch, {f"/sys/fs/cgroup/{file}": "1000000"})
        assert memory.total_memory_bytes() == 1_000_000
    act(monkeypatch, {"/sys/fs/cgroup/memory.max": str(2**62)})
    assert memory.total_memory_bytes() >= whole


def test_used_is_the_total_less_what_is_available(tmp_path: Path) -> None:
    assert memory.used_memory_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    assert memory.used_memory_bytes(tmp_path) == 3000 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_reset_and_follows_what_is_taken() -> None:
    memory.reset_peak()
    before = memory.resident_bytes()
    block = np.ones(32 << 20, np.uint8)
    taken = memory.resident_bytes()
    assert taken >= before + (16 << 20) and block[-1] == 1
    del block
    memory.return_freed_memory()
    # Linux counts by thread and adds up now and then, so the figures are a little behind
    assert memory.peak_resident_bytes() >= taken - (4 << 20)
    assert memory.resident_bytes() < taken - (16 << 20)
