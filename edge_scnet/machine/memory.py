"""Memory: of the machine, of its control group, and of this process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from pathlib import Path

from edge_scnet.machine import linux

_CGROUP = "/sys/fs/cgroup"


def total_memory_bytes() -> int | None:
    """The machine's memory, or the control group's limit where that is lower."""
    limits = [
        limit
        for file in ("memory.max", "memory/memory.limit_in_bytes")
        if (limit := linux.read_number(f"{_CGROUP}/{file}")) is not None
    ]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def available_memory_bytes() -> int | None:
    """Memory that a new process can take without swapping.

    Of the machine and of its control group, whichever is less.
    """
    free = []
    if (available := linux.read_bytes_table("/proc/meminfo").get("MemAvailable")) is not None:
        free.append(available)
    limit = linux.read_number(f"{_CGROUP}/memory.max")
    used = linux.read_number(f"{_CGROUP}/memory.current")
    if limit is not None and used is not None:
        free.append(limit - used)
    return min(free, default=None)


def used_memory_bytes(root: Path = linux.ROOT) -> int | None:
    """Memory of the machine in use, file caches not counted.

    On a Jetson the memory that the GPU has taken is in it.
    """
    table = linux.read_bytes_table(str(root / "proc/meminfo"))
    total, available = table.get("MemTotal"), table.get("MemAvailable")
    return None if total is None or available is None else total - available


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    return linux.read_bytes_table("/proc/self/status").get("VmRSS", 0)


def peak_resident_bytes() -> int:
    """The highest resident memory of this process, or the highest since `reset_peak`."""
    return linux.read_bytes_table("/proc/self/status").get("VmHWM", 0)


def reset_peak() -> None:
    """Sets the highest resident memory back to the present one, where the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def return_freed_memory() -> None:
    """Collects dropped graphs, and gives back to the system what the C library keeps.

    The values of a graph refer to each other, and graphs and sessions that come one after the other
    otherwise add up. Outside glibc, which has malloc_trim, graphs are only collected.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
