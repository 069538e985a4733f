"""/proc, /sys, control groups."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path


def machine_flags() -> frozenset[str]:
    """The processor's features as /proc/cpuinfo spells them (`flags` on x86, `Features` on Arm);
    empty where there is none.
    """
    info = cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


@cache
def cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo, and what stands after the last one (boards name
    themselves there).
    """
    info: dict[str, str] = {}
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        info.setdefault(key.strip(), value.strip())
    return info


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cpu_quota_cores() -> float | None:
    if text := read_text("/sys/fs/cgroup/cpu.max"):  # "200000 100000" or "max 100000"
        quota, _, period = text.partition(" ")
    else:
        quota = read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or ""
        period = read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or ""
    return (
        int(quota) / int(period)
        if quota.isdecimal() and period.isdecimal() and int(period) > 0
        else None
    )


def read_text(path: str) -> str | None:
    """A small text file of the system, without the NUL that device trees end with; None where it is
    not readable.
    """
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").rstrip("\0\n") or None
    except OSError:
        return None
