"""Free, used, given back."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

from edge_scnet.machine import linux


def total_memory_bytes() -> int | None:
    """The machine's memory, or the control group's limit where that is lower."""
    limits = [
        int(text)
        for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
        if (text := linux.read_text(path)) and text.isdecimal()
    ]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def available_memory_bytes() -> int | None:
    """Memory a new process can take without swapping: of the machine and of its control group,
    whichever is less.
    """
    free = []
    for line in (linux.read_text("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    limit, used = (
        linux.read_text("/sys/fs/cgroup/memory.max"),
        linux.read_text("/sys/fs/cgroup/memory.current"),
    )
    if limit and used and limit.isdecimal() and used.isdecimal():
        free.append(int(limit) - int(used))
    return min(free, default=None)


def used_memory_bytes(root: Path = Path("/")) -> int | None:
    """Memory of the machine in use, file caches not counted: on a Jetson what the GPU has taken is
    in it.
    """
    found = {}
    for line in (linux.read_text(str(root / "proc/meminfo")) or "").splitlines():
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            found[name] = int(rest.split()[0]) * 1024
    return found["MemTotal"] - found["MemAvailable"] if len(found) == 2 else None


def return_freed_memory() -> None:
    """Collects dropped graphs, whose values refer to each other, and gives back to the system what
    the C library keeps.

    Graphs and sessions that come one after the other otherwise add up. Outside glibc, which has
    malloc_trim, only the first.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
